"""Baselines: the floor of every table. They are fitted at once, so the loop's settings say little."""

from gen_dist.config import RunConfig
from gen_dist.models.baseline.gaussian import GaussianConfig
from gen_dist.models.baseline.kernel_density import KernelDensityConfig
from gen_dist.models.baseline.mixture import GaussianMixtureConfig
from gen_dist.models.baseline.ppca import PPCAConfig
from gen_dist.presets.preset import Preset
from gen_dist.training.settings import TrainingConfig

_AT_ONCE = TrainingConfig(images=1)  # a model without phases draws none: `model.num_images` says what it is fitted to


def gaussian_8() -> RunConfig:
    """For 8x8 digits: fitted in an instant."""
    return RunConfig(model=GaussianConfig(), training=_AT_ONCE)


def gaussian_28() -> RunConfig:
    """For 28x28 images: all of Fashion-MNIST in seconds."""
    return RunConfig(model=GaussianConfig(), training=_AT_ONCE)


def ppca_8() -> RunConfig:
    """For 8x8 digits: 24 latents of 64 values."""
    return RunConfig(model=PPCAConfig(latent_dim=24), training=_AT_ONCE)


def ppca_28() -> RunConfig:
    """For 28x28 images: 128 latents of 784 values."""
    return RunConfig(model=PPCAConfig(latent_dim=128), training=_AT_ONCE)


def gaussian_mixture_8() -> RunConfig:
    """For 8x8 digits: some 130 images for each Gaussian, so covariances borrow 30 from all."""
    return RunConfig(model=GaussianMixtureConfig(num_components=10, prior_images=30.0), training=_AT_ONCE)


def gaussian_mixture_28() -> RunConfig:
    """For 28x28 images: 10,000 of them, since a step of EM takes 0.25 TFLOP."""
    model = GaussianMixtureConfig(num_components=10, prior_images=200.0, max_steps=15, num_images=10_000)
    return RunConfig(model=model, training=_AT_ONCE)


def kernel_density_8() -> RunConfig:
    """For 8x8 digits: all of them."""
    return RunConfig(model=KernelDensityConfig(num_images=2000), training=_AT_ONCE)


def kernel_density_28() -> RunConfig:
    """For 28x28 images: 10,000 of them, which the model keeps."""
    return RunConfig(model=KernelDensityConfig(num_images=10_000, num_left_out=1000), training=_AT_ONCE)


PRESETS: tuple[Preset, ...] = (
    Preset(name="gaussian-8", summary="Gaussian over the pixels of 8x8 images (digits)", build=gaussian_8),
    Preset(name="gaussian-28", summary="Gaussian over the pixels of 28x28 images", build=gaussian_28),
    Preset(name="ppca-8", summary="probabilistic PCA of 8x8 images (digits)", build=ppca_8),
    Preset(name="ppca-28", summary="probabilistic PCA of 28x28 images", build=ppca_28),
    Preset(
        name="gaussian-mixture-8", summary="mixture of 10 Gaussians over 8x8 images (digits)", build=gaussian_mixture_8
    ),
    Preset(name="gaussian-mixture-28", summary="mixture of 10 Gaussians over 28x28 images", build=gaussian_mixture_28),
    Preset(name="kernel-density-8", summary="kernel density of 8x8 images (digits)", build=kernel_density_8),
    Preset(name="kernel-density-28", summary="kernel density of 28x28 images", build=kernel_density_28),
)
