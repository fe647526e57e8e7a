"""Markov chains whose stationary distribution is the model."""

from gen_dist.config import RunConfig
from gen_dist.models.markov.gsn import GSNConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def gsn_8() -> RunConfig:
    """For 8x8 digits, thresholded at 128."""
    images = 100_000
    return RunConfig(
        model=GSNConfig(
            first_hidden=200,
            second_hidden=200,
            salt_and_pepper=0.2,
            first_noise=0.5,
            second_noise=0.5,
            optimizer=Adam(learning_rate=2e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def gsn_28() -> RunConfig:
    """For 28x28 images, thresholded at 128; noise and corruption as the paper's code has them."""
    images = 100_000
    return RunConfig(
        model=GSNConfig(
            first_hidden=500,
            second_hidden=500,
            salt_and_pepper=0.4,
            second_noise=2.0,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=100),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="gsn-8", summary="GSN of binary 8x8 images (digits), two hidden layers", build=gsn_8),
    Preset(name="gsn-28", summary="GSN of binary 28x28 images, two hidden layers", build=gsn_28),
)
