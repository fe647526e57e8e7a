"""Normalising flows."""

from gen_dist.config import RunConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.optimization import Adam, LearningRateSchedule
from gen_dist.presets.preset import Preset
from gen_dist.training.settings import TrainingConfig


def realnvp_8() -> RunConfig:
    """For 8x8 digits: two scales. `alpha` is far below the paper's 0.05, since most border pixels are exactly black."""
    images = 60_000
    return RunConfig(
        model=RealNVPConfig(
            scales=2,
            hidden=32,
            num_blocks=1,
            alpha=1e-5,
            optimizer=Adam(learning_rate=3e-3),
            schedule=LearningRateSchedule(decay="cosine", decay_end_images=images, final_factor=0.05),
            ema_decay=0.998,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def realnvp_28() -> RunConfig:
    """For 28x28 images: three scales, down to 7x7."""
    images = 200_000
    return RunConfig(
        model=RealNVPConfig(
            scales=3,
            hidden=32,
            num_blocks=1,
            alpha=1e-5,
            optimizer=Adam(learning_rate=1e-3),
            schedule=LearningRateSchedule(decay="cosine", decay_end_images=images, final_factor=0.05),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64, channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="realnvp-8", summary="RealNVP of 8x8 images (digits), two scales", build=realnvp_8),
    Preset(name="realnvp-28", summary="RealNVP of 28x28 images, three scales", build=realnvp_28),
)
