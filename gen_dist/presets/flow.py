"""Normalising flows."""

from gen_dist.config import RunConfig
from gen_dist.models.flow.glow import GlowConfig
from gen_dist.models.flow.nice import NICEConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.optimization import Adam, LearningRateSchedule
from gen_dist.presets.preset import Preset, cosine
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
            schedule=cosine(images),
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
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64, channels_last=True),
    )


def realnvp_32() -> RunConfig:
    """The paper's network for CIFAR-10 (section 4.1): 8 residual blocks, 64 feature maps, one squeeze, batch norm."""
    return RunConfig(
        model=RealNVPConfig(
            scales=2,
            hidden=64,
            double_hidden=True,
            num_blocks=8,
            normalization="batch",
            alpha=0.05,
            optimizer=Adam(learning_rate=1e-3),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=10_000_000, batch_size=64, channels_last=True),
    )


def nice_8() -> RunConfig:
    """For 8x8 digits: four couplings with two hidden layers, on logits."""
    images = 60_000
    return RunConfig(
        model=NICEConfig(
            hidden=256,
            hidden_layers=2,
            alpha=1e-5,
            optimizer=Adam(learning_rate=3e-3),
            schedule=cosine(images),
            ema_decay=0.998,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def nice_28() -> RunConfig:
    """For 28x28 images: the paper's four couplings with five hidden layers, of 500 units instead of 1000."""
    images = 100_000
    return RunConfig(
        model=NICEConfig(
            hidden=500,
            hidden_layers=5,
            alpha=1e-5,
            optimizer=Adam(learning_rate=5e-4),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def glow_8() -> RunConfig:
    """For 8x8 digits: two scales of four steps, on logits."""
    images = 60_000
    return RunConfig(
        model=GlowConfig(
            scales=2,
            steps=4,
            hidden=32,
            pixel_scale="logit",
            alpha=1e-5,
            optimizer=Adam(learning_rate=3e-3),
            schedule=cosine(images),
            ema_decay=0.998,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def glow_28() -> RunConfig:
    """For 28x28 images: two scales, 14x14 and 7x7, of four steps, on logits."""
    images = 100_000
    return RunConfig(
        model=GlowConfig(
            scales=2,
            steps=4,
            hidden=128,
            pixel_scale="logit",
            alpha=1e-5,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64, channels_last=True),
    )


def glow_32() -> RunConfig:
    """The paper's network for CIFAR-10 (Table 4): L = 3, K = 32, 512 feature maps, on the linear scale."""
    return RunConfig(
        model=GlowConfig(
            scales=3,
            steps=32,
            hidden=512,
            optimizer=Adam(learning_rate=1e-3),
            schedule=LearningRateSchedule(warmup_images=500_000),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=50_000_000, batch_size=512, num_micro_batches=8, channels_last=True),
    )


def glow_64() -> RunConfig:
    """The paper's network for ImageNet at 64x64 (Table 4): L = 4, K = 48."""
    return RunConfig(
        model=GlowConfig(
            scales=4,
            steps=48,
            hidden=512,
            optimizer=Adam(learning_rate=1e-3),
            schedule=LearningRateSchedule(warmup_images=500_000),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=100_000_000, batch_size=256, num_micro_batches=8, channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="nice-8", summary="NICE of 8x8 images (digits), dense couplings", build=nice_8),
    Preset(name="nice-28", summary="NICE of 28x28 images, dense couplings", build=nice_28),
    Preset(name="realnvp-8", summary="RealNVP of 8x8 images (digits), two scales", build=realnvp_8),
    Preset(name="realnvp-28", summary="RealNVP of 28x28 images, three scales", build=realnvp_28),
    Preset(name="realnvp-32", summary="RealNVP at the paper's size for CIFAR-10", build=realnvp_32),
    Preset(name="glow-8", summary="Glow of 8x8 images (digits), two scales", build=glow_8),
    Preset(name="glow-28", summary="Glow of 28x28 images, two scales", build=glow_28),
    Preset(name="glow-32", summary="Glow at the paper's size for CIFAR-10", build=glow_32),
    Preset(name="glow-64", summary="Glow at the paper's size for ImageNet 64x64", build=glow_64),
)
