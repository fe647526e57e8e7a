"""Autoencoders: they encode and decode, and neither draw nor score."""

from gen_dist.config import RunConfig
from gen_dist.models.vae.autoencoder import AutoencoderConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig

_IMAGES = 200_000


def autoencoder_8() -> RunConfig:
    """For 8x8 digits: deep, fully connected."""
    return RunConfig(
        model=AutoencoderConfig(
            hidden=(256, 128), latent_dim=16, optimizer=Adam(learning_rate=1e-3), schedule=cosine(_IMAGES)
        ),
        training=TrainingConfig(images=_IMAGES, batch_size=64),
    )


def autoencoder_linear_8() -> RunConfig:
    """For 8x8 digits: one linear layer each way, the subspace of principal component analysis."""
    return RunConfig(
        model=AutoencoderConfig(hidden=(), latent_dim=16, optimizer=Adam(learning_rate=3e-3), schedule=cosine(_IMAGES)),
        training=TrainingConfig(images=_IMAGES, batch_size=64),
    )


def autoencoder_28() -> RunConfig:
    """For 28x28 images: four convolutional stages down, four upsampling stages back."""
    return RunConfig(
        model=AutoencoderConfig(
            architecture="conv",
            hidden=(16, 32, 64, 128),
            latent_dim=32,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES),
        ),
        training=TrainingConfig(images=_IMAGES, batch_size=128, channels_last=True),
    )


def denoising_autoencoder_28() -> RunConfig:
    """For 28x28 images: a quarter of the values is masked, as in Vincent et al. 2008."""
    return RunConfig(
        model=AutoencoderConfig(
            architecture="conv",
            hidden=(16, 32, 64, 128),
            latent_dim=64,
            noise="masking",
            noise_level=0.25,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES),
        ),
        training=TrainingConfig(images=_IMAGES, batch_size=128, channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="autoencoder-8", summary="deep autoencoder of 8x8 images (digits)", build=autoencoder_8),
    Preset(name="autoencoder-linear-8", summary="linear autoencoder of 8x8 images", build=autoencoder_linear_8),
    Preset(name="autoencoder-28", summary="convolutional autoencoder of 28x28 images", build=autoencoder_28),
    Preset(
        name="denoising-autoencoder-28",
        summary="convolutional denoising autoencoder of 28x28 images",
        build=denoising_autoencoder_28,
    ),
)
