"""Variational autoencoders."""

from gen_dist.config import RunConfig
from gen_dist.models.vae.vae import VAEConfig
from gen_dist.optimization import Adam, LearningRateSchedule
from gen_dist.presets import autoencoder, latent, vqvae
from gen_dist.presets.preset import SCORING_DRAWS, Preset, cosine
from gen_dist.training.settings import TrainingConfig


def vae_8() -> RunConfig:
    """For 8x8 digits: fully connected, discretised logistic; so short since more overfits 1,300 images."""
    images = 160_000
    return RunConfig(
        model=VAEConfig(
            importance_samples=SCORING_DRAWS,
            hidden=(256, 256),
            latent_dim=16,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def vae_bernoulli_8() -> RunConfig:
    """For 8x8 digits, thresholded at 128: the paper's decoder for binary images."""
    images = 300_000
    return RunConfig(
        model=VAEConfig(
            importance_samples=SCORING_DRAWS,
            decoder="bernoulli",
            hidden=(256, 256),
            latent_dim=16,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def vae_28() -> RunConfig:
    """For 28x28 images: convolutional, discretised logistic."""
    images = 600_000
    return RunConfig(
        model=VAEConfig(
            importance_samples=SCORING_DRAWS,
            architecture="conv",
            hidden=(32, 64, 128),
            latent_dim=32,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=128, channels_last=True),
    )


def vae_bernoulli_28() -> RunConfig:
    """For 28x28 images, thresholded at 128: fully connected, the paper's decoder for binary images."""
    images = 600_000
    return RunConfig(
        model=VAEConfig(
            importance_samples=SCORING_DRAWS,
            decoder="bernoulli",
            hidden=(500, 500),
            latent_dim=32,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=128),
    )


def vae_2d_28() -> RunConfig:
    """For 28x28 images: two latent variables, so that a picture shows them all (Fig. 4 of the paper)."""
    images = 600_000
    return RunConfig(
        model=VAEConfig(
            importance_samples=SCORING_DRAWS,
            decoder="bernoulli",
            hidden=(500, 500),
            latent_dim=2,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=128),
    )


def vae_32() -> RunConfig:
    """For 32x32 colour images: convolutional, discretised logistic."""
    images = 2_000_000
    return RunConfig(
        model=VAEConfig(
            importance_samples=SCORING_DRAWS,
            architecture="conv",
            hidden=(64, 128, 256),
            latent_dim=128,
            optimizer=Adam(learning_rate=1e-3),
            schedule=LearningRateSchedule(
                warmup_images=20_000, decay="cosine", decay_end_images=images, final_factor=0.05
            ),
        ),
        training=TrainingConfig(images=images, batch_size=128, channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="vae-8", summary="VAE of 8x8 images (digits), discretised logistic", build=vae_8),
    Preset(name="vae-bernoulli-8", summary="VAE of binary 8x8 images (digits), Bernoulli", build=vae_bernoulli_8),
    Preset(name="vae-28", summary="convolutional VAE of 28x28 images, discretised logistic", build=vae_28),
    Preset(name="vae-bernoulli-28", summary="VAE of binary 28x28 images, Bernoulli", build=vae_bernoulli_28),
    Preset(name="vae-2d-28", summary="VAE of binary 28x28 images with two latents, for pictures", build=vae_2d_28),
    Preset(name="vae-32", summary="convolutional VAE of 32x32 colour images, discretised logistic", build=vae_32),
    *latent.PRESETS,
    *autoencoder.PRESETS,
    *vqvae.PRESETS,
)
