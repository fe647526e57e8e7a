"""Autoregressive models."""

from gen_dist.config import RunConfig, override
from gen_dist.models.autoregressive.pixelcnn import PixelCNNConfig
from gen_dist.optimization import Adam
from gen_dist.presets import gated_pixelcnn, multiscale, pixelcnn_plus_plus, pixelrnn
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def pixelcnn_8() -> RunConfig:
    """For 8x8 digits."""
    images = 60_000
    return RunConfig(
        model=PixelCNNConfig(
            features=64,
            num_blocks=3,
            first_kernel_size=7,
            output_features=64,
            optimizer=Adam(learning_rate=4e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def pixelcnn_28() -> RunConfig:
    """For 28x28 images."""
    images = 300_000
    return RunConfig(
        model=PixelCNNConfig(
            features=64,
            num_blocks=7,
            first_kernel_size=7,
            output_features=64,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=32, precision="auto", channels_last=True),
    )


def pixelcnn_bernoulli_8() -> RunConfig:
    """For 8x8 digits, thresholded."""
    return override(pixelcnn_8(), {"model.likelihood": "bernoulli"})


def pixelcnn_bernoulli_28() -> RunConfig:
    """For 28x28 images, thresholded."""
    return override(pixelcnn_28(), {"model.likelihood": "bernoulli"})


PRESETS: tuple[Preset, ...] = (
    Preset(name="pixelcnn-8", summary="PixelCNN of 8x8 images (digits), 256-way softmax", build=pixelcnn_8),
    Preset(name="pixelcnn-28", summary="PixelCNN of 28x28 images, 256-way softmax", build=pixelcnn_28),
    Preset(
        name="pixelcnn-bernoulli-8",
        summary="PixelCNN of 8x8 black-and-white images (digits)",
        build=pixelcnn_bernoulli_8,
    ),
    Preset(
        name="pixelcnn-bernoulli-28",
        summary="PixelCNN of 28x28 black-and-white images",
        build=pixelcnn_bernoulli_28,
    ),
    *gated_pixelcnn.PRESETS,
    *multiscale.PRESETS,
    *pixelcnn_plus_plus.PRESETS,
    *pixelrnn.PRESETS,
)
