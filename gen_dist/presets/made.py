"""MADE with one mask and with many, of binary and of 8-bit images."""

from gen_dist.config import RunConfig
from gen_dist.models.autoregressive.made import MADEConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def made_8() -> RunConfig:
    """For 8x8 digits, thresholded at 128."""
    images = 120_000
    return RunConfig(
        model=MADEConfig(
            hidden=(500,),
            optimizer=Adam(learning_rate=5e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def made_28() -> RunConfig:
    """For 28x28 images, thresholded at 128: wide, so that most values find a unit that sees all before them."""
    images = 100_000
    return RunConfig(
        model=MADEConfig(
            hidden=(1000,),
            optimizer=Adam(learning_rate=2e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=100),
    )


def made_masks_8() -> RunConfig:
    """For 8x8 digits, thresholded at 128: eight masks, each with its own order."""
    images = 240_000
    return RunConfig(
        model=MADEConfig(
            hidden=(500,),
            num_masks=8,
            random_orders=True,
            optimizer=Adam(learning_rate=5e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def made_logistic_8() -> RunConfig:
    """For 8x8 digits in 8 bits."""
    images = 60_000
    return RunConfig(
        model=MADEConfig(
            likelihood="logistic-mixture",
            hidden=(500,),
            optimizer=Adam(learning_rate=2e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def made_logistic_28() -> RunConfig:
    """For 28x28 images in 8 bits."""
    images = 60_000
    return RunConfig(
        model=MADEConfig(
            likelihood="logistic-mixture",
            hidden=(500,),
            num_components=3,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=100),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="made-8", summary="MADE of binary 8x8 images (digits), one mask", build=made_8),
    Preset(name="made-28", summary="MADE of binary 28x28 images, one mask", build=made_28),
    Preset(name="made-masks-8", summary="MADE of binary 8x8 images (digits), 8 masks and orders", build=made_masks_8),
    Preset(name="made-logistic-8", summary="MADE of 8x8 images (digits), logistic mixtures", build=made_logistic_8),
    Preset(name="made-logistic-28", summary="MADE of 28x28 images, logistic mixtures", build=made_logistic_28),
)
