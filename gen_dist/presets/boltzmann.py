"""Boltzmann machines."""

from gen_dist.config import RunConfig
from gen_dist.models.boltzmann.dbm import DBMConfig
from gen_dist.models.boltzmann.rbm import RBMConfig
from gen_dist.optimization import SGD, LearningRateSchedule
from gen_dist.presets.preset import Preset
from gen_dist.training.settings import TrainingConfig


def rbm_8() -> RunConfig:
    """For 8x8 digits, thresholded at 128."""
    images = 1_000_000
    return RunConfig(
        model=RBMConfig(
            num_hidden=128,
            gibbs_steps=1,
            optimizer=SGD(learning_rate=0.05),
            schedule=LearningRateSchedule(decay="linear", decay_end_images=images, final_factor=0.05),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def rbm_28() -> RunConfig:
    """For 28x28 images, thresholded at 128."""
    images = 3_000_000
    return RunConfig(
        model=RBMConfig(
            num_hidden=500,
            gibbs_steps=1,
            partition_steps=500,
            partition_chains=64,
            optimizer=SGD(learning_rate=0.05),
            schedule=LearningRateSchedule(decay="linear", decay_end_images=images, final_factor=0.05),
        ),
        training=TrainingConfig(images=images, batch_size=100),
    )


def dbm_8() -> RunConfig:
    """For 8x8 digits, thresholded at 128."""
    images = 500_000
    return RunConfig(
        model=DBMConfig(
            first_hidden=128,
            second_hidden=64,
            optimizer=SGD(learning_rate=0.05),
            schedule=LearningRateSchedule(decay="linear", decay_end_images=images, final_factor=0.05),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def dbm_28() -> RunConfig:
    """For 28x28 images, thresholded at 128: the layers of the paper's smaller machine have 500 and 1000 units."""
    images = 250_000
    return RunConfig(
        model=DBMConfig(
            first_hidden=500,
            second_hidden=200,
            mean_field_updates=5,
            partition_steps=500,
            partition_chains=64,
            optimizer=SGD(learning_rate=0.02),
            schedule=LearningRateSchedule(decay="linear", decay_end_images=images, final_factor=0.05),
        ),
        training=TrainingConfig(images=images, batch_size=100),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="rbm-8", summary="RBM of binary 8x8 images (digits), persistent chains", build=rbm_8),
    Preset(name="rbm-28", summary="RBM of binary 28x28 images, persistent chains", build=rbm_28),
    Preset(name="dbm-8", summary="DBM of binary 8x8 images (digits), two hidden layers", build=dbm_8),
    Preset(name="dbm-28", summary="DBM of binary 28x28 images, two hidden layers", build=dbm_28),
)
