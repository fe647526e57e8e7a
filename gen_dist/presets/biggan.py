"""BigGAN, from digits on one core to the paper's size for ImageNet."""

from gen_dist.config import RunConfig
from gen_dist.models.gan.biggan import BigGANConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset
from gen_dist.training.settings import TrainingConfig


def biggan_8() -> RunConfig:
    """For 8x8 digits: two doublings from 2x2, no attention, rates that suit a run of a minute."""
    model = BigGANConfig(
        latent_dim=24,
        embedding_dim=16,
        generator_channels=16,
        generator_multipliers=(2, 2, 1),
        critic_channels=16,
        critic_multipliers=(1, 2, 2),
        critic_halvings=2,
        attention_size=None,
        generator_optimizer=Adam(learning_rate=1e-3, betas=(0.0, 0.999)),
        critic_optimizer=Adam(learning_rate=2e-3, betas=(0.0, 0.999)),
        ema_decay=0.999,
    )
    return RunConfig(model=model, training=TrainingConfig(images=200_000, batch_size=64))


def biggan_28() -> RunConfig:
    """For 28x28 grey images (Fashion-MNIST): two doublings from 7x7, attention at 14x14."""
    model = BigGANConfig(
        latent_dim=60,
        embedding_dim=32,
        generator_channels=32,
        generator_multipliers=(4, 2, 1),
        critic_channels=32,
        critic_multipliers=(1, 2, 4),
        critic_halvings=2,
        attention_size=14,
        generator_optimizer=Adam(learning_rate=2e-4, betas=(0.0, 0.999)),
        critic_optimizer=Adam(learning_rate=8e-4, betas=(0.0, 0.999)),
        ema_decay=0.999,
    )
    return RunConfig(model=model, training=TrainingConfig(images=2_000_000, batch_size=64, channels_last=True))


def biggan_32() -> RunConfig:
    """For 32x32 colour images (CIFAR-10): the layout of the authors' code, with the paper's latent and rates."""
    model = BigGANConfig(
        latent_dim=128,
        generator_channels=64,
        generator_multipliers=(4, 4, 4, 4),
        critic_channels=64,
        critic_multipliers=(4, 4, 4, 4),
        critic_halvings=2,
        attention_size=None,
    )
    return RunConfig(
        model=model, training=TrainingConfig(images=50_000_000, batch_size=256, precision="auto", channels_last=True)
    )


def biggan_64() -> RunConfig:
    """For 64x64 colour images: the layout of the authors' code, attention at 32x32."""
    model = BigGANConfig(
        generator_multipliers=(16, 16, 8, 4, 2),
        critic_multipliers=(1, 2, 4, 8, 16),
        critic_halvings=4,
        attention_size=32,
    )
    return RunConfig(
        model=model,
        training=TrainingConfig(
            images=250_000_000, batch_size=512, num_micro_batches=4, precision="auto", channels_last=True
        ),
    )


def biggan_128() -> RunConfig:
    """For 128x128 colour images: the paper's networks and rates; its batch of 2048, in 16 parts."""
    return RunConfig(
        model=BigGANConfig(),
        training=TrainingConfig(
            images=500_000_000, batch_size=2048, num_micro_batches=16, precision="auto", channels_last=True
        ),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="biggan-8", summary="BigGAN of 8x8 images (digits), under a minute on one core", build=biggan_8),
    Preset(name="biggan-28", summary="BigGAN of 28x28 images (Fashion-MNIST), with self-attention", build=biggan_28),
    Preset(name="biggan-32", summary="BigGAN of 32x32 images (CIFAR-10), for a GPU", build=biggan_32),
    Preset(name="biggan-64", summary="BigGAN of 64x64 images, for several GPUs", build=biggan_64),
    Preset(
        name="biggan-128", summary="BigGAN of 128x128 images with the paper's sizes, for many GPUs", build=biggan_128
    ),
)
