"""PixelCNN++."""

from gen_dist.config import RunConfig
from gen_dist.models.autoregressive.pixelcnn_plus_plus import PixelCNNPlusPlusConfig
from gen_dist.optimization import Adam, LearningRateSchedule
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def pixelcnn_plus_plus_8() -> RunConfig:
    """For 8x8 digits."""
    images = 60_000
    return RunConfig(
        model=PixelCNNPlusPlusConfig(
            features=24,
            num_blocks=1,
            num_scales=2,
            num_components=10,
            dropout=0.0,
            optimizer=Adam(learning_rate=4e-3, betas=(0.95, 0.999)),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def pixelcnn_plus_plus_28() -> RunConfig:
    """For 28x28 images: resolutions of 28, 14 and 7."""
    images = 30_000
    return RunConfig(
        model=PixelCNNPlusPlusConfig(
            features=32,
            num_blocks=1,
            num_scales=3,
            num_components=10,
            dropout=0.0,
            optimizer=Adam(learning_rate=2e-3, betas=(0.95, 0.999)),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=32, precision="auto"),
    )


def pixelcnn_plus_plus_32() -> RunConfig:
    """The paper's network for CIFAR-10, its batch of 8 x 16 images in as many parts, for large machines."""
    images = 25_600_000
    return RunConfig(
        model=PixelCNNPlusPlusConfig(
            schedule=LearningRateSchedule(decay="cosine", decay_end_images=images, final_factor=0.0),
        ),
        training=TrainingConfig(
            images=images, batch_size=128, num_micro_batches=8, precision="auto", channels_last=True
        ),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="pixelcnn-plus-plus-8",
        summary="PixelCNN++ of 8x8 images (digits), mixture of logistics",
        build=pixelcnn_plus_plus_8,
    ),
    Preset(
        name="pixelcnn-plus-plus-28",
        summary="PixelCNN++ of 28x28 images, mixture of logistics",
        build=pixelcnn_plus_plus_28,
    ),
    Preset(
        name="pixelcnn-plus-plus-32",
        summary="PixelCNN++ of 32x32 colour images at the paper's size: for GPUs",
        build=pixelcnn_plus_plus_32,
    ),
)
