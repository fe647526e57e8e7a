"""FFJORD. Dense dynamics, since convolutions inside a differential equation take hours without a GPU."""

from gen_dist.config import RunConfig
from gen_dist.models.flow.ffjord import FFJORDConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def ffjord_8() -> RunConfig:
    """For 8x8 digits: dopri5 at a tolerance of 0.01 in training (1e-5 for scores), kept smooth by the regularisers."""
    images = 100_000
    return RunConfig(
        model=FFJORDConfig(
            architecture="dense",
            hidden=(192, 192),
            activation="tanh",
            scales=1,
            tolerance=1e-2,
            kinetic_weight=0.001,
            jacobian_weight=0.001,
            alpha=1e-5,
            optimizer=Adam(learning_rate=4e-3),
            schedule=cosine(images),
            ema_decay=0.995,
        ),
        training=TrainingConfig(images=images, batch_size=128),
    )


def ffjord_28() -> RunConfig:
    """For 28x28 images: the same solver settings, a wider network and fewer images."""
    images = 40_000
    return RunConfig(
        model=FFJORDConfig(
            architecture="dense",
            hidden=(256, 256),
            activation="tanh",
            scales=1,
            tolerance=1e-2,
            kinetic_weight=0.001,
            jacobian_weight=0.001,
            alpha=1e-5,
            optimizer=Adam(learning_rate=2e-3),
            schedule=cosine(images),
            ema_decay=0.995,
        ),
        training=TrainingConfig(images=images, batch_size=128),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="ffjord-8", summary="FFJORD of 8x8 images (digits), dense dynamics", build=ffjord_8),
    Preset(name="ffjord-28", summary="FFJORD of 28x28 images, dense dynamics", build=ffjord_28),
)
