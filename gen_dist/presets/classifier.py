"""Classifiers: the feature extractors of the evaluation."""

from gen_dist.config import RunConfig
from gen_dist.models.classifier.convnet import ConvNetConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def convnet_8() -> RunConfig:
    """For 8x8 digits; 16 features, since the test split has few images."""
    images = 60_000
    return RunConfig(
        model=ConvNetConfig(
            channels=(32, 64),
            feature_dim=16,
            optimizer=Adam(learning_rate=3e-3, weight_decay=1e-2),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def convnet_28() -> RunConfig:
    """For 28x28 (and 32x32) images; 64 features."""
    images = 300_000
    return RunConfig(
        model=ConvNetConfig(
            channels=(32, 64, 128),
            first_stride=2,
            feature_dim=64,
            max_shift=2,
            optimizer=Adam(learning_rate=2e-3, weight_decay=1e-2),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=128, precision="auto", channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="convnet-8", summary="classifier of 8x8 images (digits), 16 features, seconds", build=convnet_8),
    Preset(name="convnet-28", summary="classifier of 28x28 images, 64 features, minutes", build=convnet_28),
)
