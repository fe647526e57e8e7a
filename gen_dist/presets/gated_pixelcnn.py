"""Gated PixelCNN."""

from gen_dist.config import RunConfig, override
from gen_dist.models.autoregressive.gated_pixelcnn import GatedPixelCNNConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def gated_pixelcnn_8() -> RunConfig:
    """For 8x8 digits."""
    images = 60_000
    return RunConfig(
        model=GatedPixelCNNConfig(
            features=48,
            num_blocks=3,
            first_kernel_size=5,
            output_features=64,
            optimizer=Adam(learning_rate=4e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def gated_pixelcnn_conditional_8() -> RunConfig:
    """For 8x8 digits, told which digit it is."""
    return override(gated_pixelcnn_8(), {"model.class_conditional": True})


def gated_pixelcnn_28() -> RunConfig:
    """For 28x28 images."""
    images = 100_000
    return RunConfig(
        model=GatedPixelCNNConfig(
            features=32,
            num_blocks=5,
            first_kernel_size=7,
            output_features=64,
            optimizer=Adam(learning_rate=2e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=32, precision="auto", channels_last=True),
    )


def gated_pixelcnn_bernoulli_28() -> RunConfig:
    """For 28x28 images, thresholded."""
    return override(gated_pixelcnn_28(), {"model.likelihood": "bernoulli"})


def gated_pixelcnn_32() -> RunConfig:
    """For 32x32 colour images, at the size of the paper's ImageNet model: 20 layers of 384 features, 5x5 kernels."""
    images = 25_600_000
    return RunConfig(
        model=GatedPixelCNNConfig(
            features=384,
            num_blocks=19,
            first_kernel_size=7,
            kernel_size=5,
            output_features=768,
            optimizer=Adam(learning_rate=4e-4),
            schedule=cosine(images),
            ema_decay=0.9999,
        ),
        training=TrainingConfig(images=images, batch_size=128, precision="auto", channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="gated-pixelcnn-8",
        summary="Gated PixelCNN of 8x8 images (digits), 256-way softmax",
        build=gated_pixelcnn_8,
    ),
    Preset(
        name="gated-pixelcnn-conditional-8",
        summary="Gated PixelCNN of 8x8 images (digits), given the class",
        build=gated_pixelcnn_conditional_8,
    ),
    Preset(
        name="gated-pixelcnn-28", summary="Gated PixelCNN of 28x28 images, 256-way softmax", build=gated_pixelcnn_28
    ),
    Preset(
        name="gated-pixelcnn-bernoulli-28",
        summary="Gated PixelCNN of 28x28 black-and-white images",
        build=gated_pixelcnn_bernoulli_28,
    ),
    Preset(
        name="gated-pixelcnn-32",
        summary="Gated PixelCNN of 32x32 colour images at the paper's size, 256-way softmax; for a GPU",
        build=gated_pixelcnn_32,
    ),
)
