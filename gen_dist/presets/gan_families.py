"""Generative adversarial networks with networks, or conditions, of their own."""

from gen_dist.config import RunConfig
from gen_dist.models.gan.conditional import ConditionalGANConfig, Conditioning
from gen_dist.models.gan.game import GameConfig
from gen_dist.models.gan.original import OriginalGANConfig
from gen_dist.models.gan.resnet import ResNetGANConfig
from gen_dist.optimization import SGD, Adam, LearningRateSchedule
from gen_dist.presets.preset import Preset
from gen_dist.training.settings import TrainingConfig


def gan_8() -> RunConfig:
    """For 8x8 digits: narrow perceptrons with larger first weights, under the paper's momentum."""
    optimizer = SGD(learning_rate=0.1, momentum=0.5)
    model = OriginalGANConfig(
        latent_dim=32,
        generator_hidden=(128, 128),
        critic_hidden=(64, 64),
        generator_std=0.1,
        critic_std=0.05,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
        ema_decay=0.999,
    )
    return RunConfig(model=model, training=TrainingConfig(images=250_000, batch_size=100))


def gan_28() -> RunConfig:
    """For 28x28 grey images: the networks of the authors' code for MNIST, and half its learning rate.

    With the whole rate the critic's scores overflow on Fashion-MNIST after some 300 rounds.
    """
    optimizer = SGD(learning_rate=0.05, momentum=0.5)
    model = OriginalGANConfig(generator_optimizer=optimizer, critic_optimizer=optimizer)
    return RunConfig(model=model, training=TrainingConfig(images=10_000_000, batch_size=100))


def wgan_gp_resnet_8() -> RunConfig:
    """For 8x8 digits: one doubling from 4x4, narrow, and two critic steps."""
    optimizer = Adam(learning_rate=1e-3, betas=(0.0, 0.9))
    model = ResNetGANConfig(
        game=GameConfig(objective="wasserstein-gp", critic_updates=2),
        latent_dim=32,
        generator_channels=24,
        critic_channels=24,
        critic_blocks=0,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
    )
    return RunConfig(model=model, training=TrainingConfig(images=60_000, batch_size=64))


def wgan_gp_resnet_28() -> RunConfig:
    """For 28x28 grey images: the paper's blocks from 7x7, half as wide."""
    images = 10_000_000
    model = ResNetGANConfig(generator_channels=64, critic_channels=64, schedule=_falling(images))
    return RunConfig(model=model, training=TrainingConfig(images=images, batch_size=64, channels_last=True))


def wgan_gp_resnet_32() -> RunConfig:
    """For 32x32 colour images (CIFAR-10): the paper's sizes, and the linear decay of the authors' code."""
    images = 32_000_000
    model = ResNetGANConfig(schedule=_falling(images))
    training = TrainingConfig(images=images, batch_size=64, precision="auto", channels_last=True)
    return RunConfig(model=model, training=training)


def sngan_28() -> RunConfig:
    """For 28x28 grey images: the paper's blocks from 7x7, half as wide."""
    images = 10_000_000
    model = ResNetGANConfig(
        game=_SNGAN,
        generator_channels=128,
        critic_channels=64,
        pooling="sum",
        critic_normalization="spectral",
        schedule=_falling(images),
    )
    return RunConfig(model=model, training=TrainingConfig(images=images, batch_size=64, channels_last=True))


def sngan_32() -> RunConfig:
    """For 32x32 colour images (CIFAR-10): the paper's sizes, and the linear decay of the authors' code."""
    images = 16_000_000
    model = ResNetGANConfig(
        game=_SNGAN,
        generator_channels=256,
        pooling="sum",
        critic_normalization="spectral",
        schedule=_falling(images),
    )
    training = TrainingConfig(images=images, batch_size=64, precision="auto", channels_last=True)
    return RunConfig(model=model, training=training)


def cgan_8() -> RunConfig:
    """For 8x8 digits: the label as planes beside the image (Mirza and Osindero 2014)."""
    return _conditional_8("concatenation")


def acgan_8() -> RunConfig:
    """For 8x8 digits: an auxiliary classifier (Odena et al. 2016)."""
    return _conditional_8("auxiliary")


def projection_gan_8() -> RunConfig:
    """For 8x8 digits: the projection (Miyato and Koyama 2018)."""
    return _conditional_8("projection")


def cgan_28() -> RunConfig:
    """For 28x28 grey images: the label as planes beside the image (Mirza and Osindero 2014)."""
    return _conditional_28("concatenation", GameConfig())


def acgan_28() -> RunConfig:
    """For 28x28 grey images: an auxiliary classifier (Odena et al. 2016)."""
    return _conditional_28("auxiliary", GameConfig())


def projection_gan_28() -> RunConfig:
    """For 28x28 grey images: the projection, with the paper's hinge."""
    return _conditional_28("projection", GameConfig(objective="hinge"))


_SNGAN = GameConfig(objective="hinge", critic_updates=5)


def _falling(images: int) -> LearningRateSchedule:
    return LearningRateSchedule(decay="linear", decay_end_images=images)


def _conditional_8(conditioning: Conditioning) -> RunConfig:
    optimizer = Adam(learning_rate=2e-3, betas=(0.5, 0.999))
    model = ConditionalGANConfig(
        conditioning=conditioning,
        latent_dim=32,
        generator_channels=32,
        critic_channels=32,
        base_size=2,
        critic_normalization="spectral",
        initial_std=None,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
    )
    return RunConfig(model=model, training=TrainingConfig(images=100_000, batch_size=64))


def _conditional_28(conditioning: Conditioning, game: GameConfig) -> RunConfig:
    model = ConditionalGANConfig(
        conditioning=conditioning,
        game=game,
        latent_dim=64,
        generator_channels=64,
        critic_channels=64,
        critic_normalization="spectral",
        initial_std=None,
    )
    return RunConfig(model=model, training=TrainingConfig(images=2_000_000, batch_size=64, channels_last=True))


PRESETS: tuple[Preset, ...] = (
    Preset(name="gan-8", summary="the first GAN of 8x8 images (digits), under a minute on one core", build=gan_8),
    Preset(name="gan-28", summary="the first GAN of 28x28 images, with the authors' networks for MNIST", build=gan_28),
    Preset(name="wgan-gp-resnet-8", summary="residual WGAN-GP of 8x8 images (digits)", build=wgan_gp_resnet_8),
    Preset(name="wgan-gp-resnet-28", summary="residual WGAN-GP of 28x28 images", build=wgan_gp_resnet_28),
    Preset(name="wgan-gp-resnet-32", summary="residual WGAN-GP of 32x32 images, for a GPU", build=wgan_gp_resnet_32),
    Preset(name="sngan-28", summary="residual GAN with spectral normalisation of 28x28 images", build=sngan_28),
    Preset(name="sngan-32", summary="residual GAN with spectral normalisation of 32x32, for a GPU", build=sngan_32),
    Preset(name="cgan-8", summary="conditional GAN of 8x8 images (digits), labels concatenated", build=cgan_8),
    Preset(name="acgan-8", summary="conditional GAN of 8x8 images, auxiliary classifier", build=acgan_8),
    Preset(name="projection-gan-8", summary="conditional GAN of 8x8 images, projection", build=projection_gan_8),
    Preset(name="cgan-28", summary="conditional GAN of 28x28 images, labels concatenated", build=cgan_28),
    Preset(name="acgan-28", summary="conditional GAN of 28x28 images, auxiliary classifier", build=acgan_28),
    Preset(name="projection-gan-28", summary="conditional GAN of 28x28 images, projection", build=projection_gan_28),
)
