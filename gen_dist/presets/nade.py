"""NADE of binary images, and its real-valued form."""

from gen_dist.config import RunConfig
from gen_dist.models.autoregressive.nade import NADEConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def nade_8() -> RunConfig:
    """For 8x8 digits, thresholded at 128."""
    images = 60_000
    return RunConfig(
        model=NADEConfig(
            hidden=128,
            optimizer=Adam(learning_rate=2e-2),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def nade_28() -> RunConfig:
    """For 28x28 images, thresholded at 128; the paper has 500 hidden units."""
    images = 60_000
    return RunConfig(
        model=NADEConfig(
            hidden=256,
            optimizer=Adam(learning_rate=4e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def rnade_8() -> RunConfig:
    """For 8x8 digits, dequantised."""
    images = 60_000
    return RunConfig(
        model=NADEConfig(
            likelihood="gaussian-mixture",
            hidden=128,
            num_components=5,
            optimizer=Adam(learning_rate=1e-2),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def rnade_28() -> RunConfig:
    """For 28x28 images, dequantised."""
    images = 60_000
    return RunConfig(
        model=NADEConfig(
            likelihood="gaussian-mixture",
            hidden=256,
            num_components=5,
            optimizer=Adam(learning_rate=4e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64, gradient_clip_norm=10.0),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="nade-8", summary="NADE of binary 8x8 images (digits)", build=nade_8),
    Preset(name="nade-28", summary="NADE of binary 28x28 images", build=nade_28),
    Preset(name="rnade-8", summary="RNADE of 8x8 images (digits), mixtures of 5 Gaussians", build=rnade_8),
    Preset(name="rnade-28", summary="RNADE of 28x28 images, mixtures of 5 Gaussians", build=rnade_28),
)
