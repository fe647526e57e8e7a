"""Relatives of the variational autoencoder: tighter bounds, richer posteriors, categorical latents."""

from gen_dist.config import RunConfig
from gen_dist.models.vae.gumbel import GumbelVAEConfig
from gen_dist.models.vae.iaf import IAFVAEConfig
from gen_dist.models.vae.iwae import IWAEConfig
from gen_dist.models.vae.mixture_posterior import MixtureVAEConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import SCORING_DRAWS, Preset, cosine
from gen_dist.training.settings import TrainingConfig

_COMPONENTS = 4
_IMAGES_8 = 160_000  # as many as vae-8 sees
_IMAGES_28 = 300_000
_IMAGES_BINARY_28 = 600_000  # as many as vae-bernoulli-28 sees


def _training_8() -> TrainingConfig:
    return TrainingConfig(images=_IMAGES_8, batch_size=64)


def _training_28() -> TrainingConfig:
    return TrainingConfig(images=_IMAGES_28, batch_size=128)


def iwae_8() -> RunConfig:
    """For 8x8 digits: the networks of vae-8, five draws per image."""
    return RunConfig(
        model=IWAEConfig(
            importance_samples=SCORING_DRAWS,
            hidden=(256, 256),
            latent_dim=16,
            training_samples=5,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES_8),
        ),
        training=_training_8(),
    )


def iwae_28() -> RunConfig:
    """For 28x28 images: fully connected, for five draws per image are decoded in each step."""
    return RunConfig(
        model=IWAEConfig(
            importance_samples=SCORING_DRAWS,
            hidden=(500, 500),
            latent_dim=32,
            training_samples=5,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES_28),
        ),
        training=_training_28(),
    )


def iwae_bernoulli_28() -> RunConfig:
    """For 28x28 images, thresholded at 128: the paper's fully connected layers and 50 latents, five draws per image."""
    return RunConfig(
        model=IWAEConfig(
            importance_samples=SCORING_DRAWS,
            decoder="bernoulli",
            hidden=(200, 200),
            latent_dim=50,
            training_samples=5,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES_BINARY_28),
        ),
        training=TrainingConfig(images=_IMAGES_BINARY_28, batch_size=128),
    )


def vae_mixture_8() -> RunConfig:
    """For 8x8 digits: the networks of vae-8, four Gaussians in each posterior."""
    return RunConfig(
        model=MixtureVAEConfig(
            importance_samples=SCORING_DRAWS // _COMPONENTS,  # of each component
            hidden=(256, 256),
            latent_dim=16,
            num_components=_COMPONENTS,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES_8),
        ),
        training=_training_8(),
    )


def vae_mixture_28() -> RunConfig:
    """For 28x28 images: the networks of iwae-28, four Gaussians in each posterior."""
    return RunConfig(
        model=MixtureVAEConfig(
            importance_samples=SCORING_DRAWS // _COMPONENTS,  # of each component
            hidden=(500, 500),
            latent_dim=32,
            num_components=_COMPONENTS,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES_28),
        ),
        training=_training_28(),
    )


def vae_iaf_8() -> RunConfig:
    """For 8x8 digits: the networks of vae-8, two steps of inverse autoregressive flow."""
    return RunConfig(
        model=IAFVAEConfig(
            importance_samples=SCORING_DRAWS,
            hidden=(256, 256),
            latent_dim=16,
            num_steps=2,
            step_width=128,
            context_dim=32,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES_8),
        ),
        training=_training_8(),
    )


def vae_iaf_28() -> RunConfig:
    """For 28x28 images: the networks of iwae-28, four steps of inverse autoregressive flow."""
    return RunConfig(
        model=IAFVAEConfig(
            importance_samples=SCORING_DRAWS,
            hidden=(500, 500),
            latent_dim=32,
            num_steps=4,
            step_width=320,
            context_dim=64,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES_28),
        ),
        training=_training_28(),
    )


def gumbel_vae_8() -> RunConfig:
    """For 8x8 digits: 20 categorical variables of 8 categories, discretised logistic."""
    return RunConfig(
        model=GumbelVAEConfig(
            importance_samples=SCORING_DRAWS,
            hidden=(256, 256),
            latent_dim=20,
            num_categories=8,
            anneal_images=_IMAGES_8 // 2,
            optimizer=Adam(learning_rate=2e-3),
            schedule=cosine(_IMAGES_8),
        ),
        training=_training_8(),
    )


def gumbel_vae_28() -> RunConfig:
    """For 28x28 images, thresholded at 128: 30 categorical variables of 10 categories, fully connected."""
    return RunConfig(
        model=GumbelVAEConfig(
            importance_samples=SCORING_DRAWS,
            decoder="bernoulli",
            hidden=(512, 256),
            latent_dim=30,
            num_categories=10,
            anneal_images=_IMAGES_BINARY_28 // 2,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(_IMAGES_BINARY_28),
        ),
        training=TrainingConfig(images=_IMAGES_BINARY_28, batch_size=128),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="iwae-8", summary="importance-weighted autoencoder of 8x8 images (digits)", build=iwae_8),
    Preset(name="iwae-28", summary="importance-weighted autoencoder of 28x28 images", build=iwae_28),
    Preset(
        name="iwae-bernoulli-28",
        summary="importance-weighted autoencoder of binary 28x28 images, Bernoulli",
        build=iwae_bernoulli_28,
    ),
    Preset(name="vae-mixture-8", summary="VAE of 8x8 images, Gaussian-mixture posterior", build=vae_mixture_8),
    Preset(name="vae-mixture-28", summary="VAE of 28x28 images, Gaussian-mixture posterior", build=vae_mixture_28),
    Preset(name="vae-iaf-8", summary="VAE of 8x8 images, inverse autoregressive flow posterior", build=vae_iaf_8),
    Preset(name="vae-iaf-28", summary="VAE of 28x28 images, inverse autoregressive flow posterior", build=vae_iaf_28),
    Preset(name="gumbel-vae-8", summary="VAE of 8x8 images with categorical latents", build=gumbel_vae_8),
    Preset(name="gumbel-vae-28", summary="VAE of binary 28x28 images with categorical latents", build=gumbel_vae_28),
)
