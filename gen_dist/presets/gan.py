"""Generative adversarial networks with the networks of DCGAN."""

from dataclasses import replace
from typing import Any

from gen_dist.config import RunConfig, override
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.gan.game import GameConfig
from gen_dist.optimization import Adam, RMSprop
from gen_dist.presets.preset import Preset
from gen_dist.training.settings import TrainingConfig


def dcgan_8() -> RunConfig:
    """For 8x8 digits: small, quick, and the base of the search over GAN settings.

    He initialisation and a high learning rate, since the paper's N(0, 0.02) starts a narrow critic without
    normalisation, which a search also tries, with scores near zero.
    """
    optimizer = Adam(learning_rate=2e-3, betas=(0.5, 0.999))
    model = DCGANConfig(
        latent_dim=32,
        generator_channels=32,
        critic_channels=32,
        base_size=2,
        initial_std=None,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
    )
    return RunConfig(model=model, training=TrainingConfig(images=200_000, batch_size=64))


def wgan_gp_8() -> RunConfig:
    """For 8x8 digits: two critic steps, which give more for the same time than the paper's five."""
    optimizer = Adam(learning_rate=2e-3, betas=(0.5, 0.9))
    model = DCGANConfig(
        game=GameConfig(objective="wasserstein-gp", critic_updates=2),
        latent_dim=32,
        generator_channels=32,
        critic_channels=32,
        base_size=2,
        critic_normalization="none",
        initial_std=None,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
    )
    return RunConfig(model=model, training=TrainingConfig(images=250_000, batch_size=64))


def dcgan_28() -> RunConfig:
    """For 28x28 grey images (Fashion-MNIST): two doublings from 7x7."""
    return RunConfig(
        model=DCGANConfig(latent_dim=64, generator_channels=64, critic_channels=64),
        training=TrainingConfig(images=2_000_000, batch_size=64, channels_last=True),
    )


def wgan_gp_28() -> RunConfig:
    """For 28x28 grey images: the settings of Gulrajani et al. 2017 (arXiv:1704.00028, Algorithm 1)."""
    optimizer = Adam(learning_rate=1e-4, betas=(0.0, 0.9))
    model = DCGANConfig(
        game=GameConfig(objective="wasserstein-gp", critic_updates=5),
        latent_dim=64,
        generator_channels=64,
        critic_channels=64,
        critic_normalization="none",
        initial_std=None,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
    )
    return RunConfig(model=model, training=TrainingConfig(images=6_000_000, batch_size=64, channels_last=True))


def wgan_28() -> RunConfig:
    """For 28x28 grey images: weight clipping with the settings of Arjovsky et al. 2017 (arXiv:1701.07875)."""
    optimizer = RMSprop(learning_rate=5e-5)
    model = DCGANConfig(
        game=GameConfig(objective="wasserstein-clip", critic_updates=5, clip_value=0.01),
        latent_dim=64,
        generator_channels=64,
        critic_channels=64,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
    )
    return RunConfig(model=model, training=TrainingConfig(images=6_000_000, batch_size=64, channels_last=True))


def dcgan_32() -> RunConfig:
    """For 32x32 colour images (CIFAR-10): three doublings from 4x4."""
    return RunConfig(
        model=DCGANConfig(),
        training=TrainingConfig(images=10_000_000, batch_size=128, precision="auto", channels_last=True),
    )


def dcgan_64() -> RunConfig:
    """For 64x64 colour images: the paper's network (figure 1) and settings (section 4)."""
    return RunConfig(
        model=DCGANConfig(),
        training=TrainingConfig(images=15_000_000, batch_size=128, precision="auto", channels_last=True),
    )


def minimax_28() -> RunConfig:
    """For 28x28 grey images: the first GAN's minimax game (arXiv:1406.2661, Eq. 1) on the networks of dcgan-28."""
    return _on_dcgan_28(GameConfig(objective="minimax"))


def hinge_28() -> RunConfig:
    """For 28x28 grey images: the hinge with spectral normalisation of Miyato et al. 2018 (arXiv:1802.05957)."""
    return _on_dcgan_28(GameConfig(objective="hinge"), critic_normalization="spectral")


def lsgan_28() -> RunConfig:
    """For 28x28 grey images: least squares (Mao et al. 2017, arXiv:1611.04076) on the networks of dcgan-28."""
    return _on_dcgan_28(GameConfig(objective="least-squares"))


def wgan_lp_28() -> RunConfig:
    """For 28x28 grey images: wgan-gp-28 with the one-sided penalty of Petzka et al. 2018 (arXiv:1709.08894)."""
    base = wgan_gp_28()
    return override(base, {"model.game.objective": "wasserstein", "model.game.penalty": "one-sided"})


def dragan_28() -> RunConfig:
    """For 28x28 grey images: the penalty around real images of Kodali et al. 2017 (arXiv:1705.07215)."""
    return _on_dcgan_28(GameConfig(penalty="dragan"), critic_normalization="none", initial_std=None)


def r1_28() -> RunConfig:
    """For 28x28 grey images: the zero-centred penalty of Mescheder et al. 2018 (arXiv:1801.04406)."""
    return _on_dcgan_28(GameConfig(penalty="r1"), critic_normalization="none", initial_std=None)


def _on_dcgan_28(game: GameConfig, **model: Any) -> RunConfig:
    base = dcgan_28()
    assert isinstance(base.model, DCGANConfig)
    return replace(base, model=replace(base.model, game=game, **model))


PRESETS: tuple[Preset, ...] = (
    Preset(name="dcgan-8", summary="DCGAN of 8x8 images (digits), under a minute on one core", build=dcgan_8),
    Preset(name="wgan-gp-8", summary="WGAN-GP of 8x8 images (digits), under a minute on one core", build=wgan_gp_8),
    Preset(name="dcgan-28", summary="DCGAN of 28x28 images (Fashion-MNIST)", build=dcgan_28),
    Preset(name="wgan-gp-28", summary="WGAN-GP of 28x28 images, five critic steps", build=wgan_gp_28),
    Preset(name="wgan-28", summary="WGAN with weight clipping and RMSprop of 28x28 images", build=wgan_28),
    Preset(name="minimax-28", summary="GAN with the minimax objective of 28x28 images", build=minimax_28),
    Preset(name="hinge-28", summary="GAN with hinge loss and spectral norm of 28x28 images", build=hinge_28),
    Preset(name="lsgan-28", summary="least-squares GAN of 28x28 images", build=lsgan_28),
    Preset(name="wgan-lp-28", summary="WGAN with the one-sided penalty of 28x28 images", build=wgan_lp_28),
    Preset(name="dragan-28", summary="GAN with DRAGAN's penalty of 28x28 images", build=dragan_28),
    Preset(name="r1-28", summary="GAN with the R1 penalty of 28x28 images", build=r1_28),
    Preset(name="dcgan-32", summary="DCGAN of 32x32 images (CIFAR-10), for a GPU", build=dcgan_32),
    Preset(name="dcgan-64", summary="DCGAN of 64x64 images with the paper's sizes, for a GPU", build=dcgan_64),
)
