"""Multi-scale PixelCNN."""

from gen_dist.config import RunConfig
from gen_dist.models.autoregressive.multiscale import MultiScaleConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def multiscale_8() -> RunConfig:
    """For 8x8 digits: 4x4, then 8x8."""
    images = 60_000
    return RunConfig(
        model=MultiScaleConfig(
            num_scales=2,
            features=24,
            num_blocks=3,
            first_kernel_size=5,
            output_features=64,
            map_features=32,
            optimizer=Adam(learning_rate=4e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def multiscale_28() -> RunConfig:
    """For 28x28 images: 7x7, then 14x14, then 28x28."""
    images = 100_000
    return RunConfig(
        model=MultiScaleConfig(
            num_scales=3,
            features=32,
            num_blocks=4,
            first_kernel_size=7,
            output_features=64,
            map_features=32,
            optimizer=Adam(learning_rate=2e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=32, precision="auto", channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="multiscale-8",
        summary="Multi-scale PixelCNN of 8x8 images (digits), 256-way softmax",
        build=multiscale_8,
    ),
    Preset(
        name="multiscale-28",
        summary="Multi-scale PixelCNN of 28x28 images, 256-way softmax",
        build=multiscale_28,
    ),
)
