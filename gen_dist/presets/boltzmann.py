"""Boltzmann machines."""

from gen_dist.config import RunConfig
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


PRESETS: tuple[Preset, ...] = (
    Preset(name="rbm-8", summary="RBM of binary 8x8 images (digits), persistent chains", build=rbm_8),
    Preset(name="rbm-28", summary="RBM of binary 28x28 images, persistent chains", build=rbm_28),
)
