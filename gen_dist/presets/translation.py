"""Translation of one image into another: from pairs, from two unpaired collections, and from small to large."""

from gen_dist.config import RunConfig
from gen_dist.models.gan.cyclegan import CycleGANConfig
from gen_dist.models.gan.pix2pix import Pix2PixConfig
from gen_dist.optimization import Adam, LearningRateSchedule
from gen_dist.presets.preset import Preset
from gen_dist.training.settings import TrainingConfig


def second_half(images: int) -> LearningRateSchedule:
    """A learning rate that falls linearly to zero over the second half of so many images."""
    return LearningRateSchedule(decay="linear", decay_start_images=images // 2, decay_end_images=images)


def pix2pix_8() -> RunConfig:
    """For 8x8 digits with sources of 8x8 (edges) or 4x4 and 2x2 (the same image, smaller)."""
    images = 40_000
    optimizer = Adam(learning_rate=1e-3, betas=(0.5, 0.999))
    model = Pix2PixConfig(
        patch_size=16,
        generator_channels=32,
        critic_channels=32,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
        schedule=second_half(images),
    )
    return RunConfig(model=model, training=TrainingConfig(images=images, batch_size=32))


def pix2pix_28() -> RunConfig:
    """For 28x28 images: the paper's settings but for width, patches of 34 pixels and batches of 16."""
    images = 1_000_000
    return RunConfig(
        model=Pix2PixConfig(patch_size=34, generator_channels=32, critic_channels=32, schedule=second_half(images)),
        training=TrainingConfig(images=images, batch_size=16, channels_last=True),
    )


def super_resolution_28() -> RunConfig:
    """For 28x28 images from sources of 7x7: a U-Net at 7x7 and two sub-pixel doublings."""
    images = 1_000_000
    return RunConfig(
        model=Pix2PixConfig(patch_size=16, generator_channels=64, critic_channels=32, schedule=second_half(images)),
        training=TrainingConfig(images=images, batch_size=16, channels_last=True),
    )


def pix2pix_256() -> RunConfig:
    """For 256x256 colour images: the paper's networks (54.4 and 2.8 million parameters) and optimizer."""
    images = 400_000
    return RunConfig(
        model=Pix2PixConfig(schedule=second_half(images)),
        training=TrainingConfig(images=images, batch_size=1, precision="auto", channels_last=True),
    )


def cyclegan_8() -> RunConfig:
    """For 8x8 digits with sources of 8x8, paired or not."""
    images = 20_000
    optimizer = Adam(learning_rate=1e-3, betas=(0.5, 0.999))
    model = CycleGANConfig(
        patch_size=16,
        generator_channels=16,
        critic_channels=16,
        num_halvings=1,
        num_blocks=2,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
        schedule=second_half(images),
    )
    return RunConfig(model=model, training=TrainingConfig(images=images, batch_size=32))


def cyclegan_28() -> RunConfig:
    """For 28x28 images: six residual blocks at 7x7."""
    images = 600_000
    return RunConfig(
        model=CycleGANConfig(
            patch_size=34, generator_channels=32, critic_channels=32, num_blocks=6, schedule=second_half(images)
        ),
        training=TrainingConfig(images=images, batch_size=8, channels_last=True),
    )


def cyclegan_256() -> RunConfig:
    """For 256x256 colour images: the paper's networks (11.4 million parameters each way) and settings."""
    images = 400_000
    return RunConfig(
        model=CycleGANConfig(schedule=second_half(images)),
        training=TrainingConfig(images=images, batch_size=1, precision="auto", channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="pix2pix-8", summary="pix2pix of paired 8x8 images (digits), under a minute on one core", build=pix2pix_8
    ),
    Preset(name="pix2pix-28", summary="pix2pix of paired 28x28 images", build=pix2pix_28),
    Preset(
        name="super-resolution-28",
        summary="pix2pix with sub-pixel convolutions: 28x28 images from 7x7",
        build=super_resolution_28,
    ),
    Preset(
        name="pix2pix-256", summary="pix2pix of 256x256 images with the paper's sizes, for a GPU", build=pix2pix_256
    ),
    Preset(name="cyclegan-8", summary="CycleGAN of 8x8 images (digits), about a minute on one core", build=cyclegan_8),
    Preset(name="cyclegan-28", summary="CycleGAN of 28x28 images", build=cyclegan_28),
    Preset(
        name="cyclegan-256", summary="CycleGAN of 256x256 images with the paper's sizes, for a GPU", build=cyclegan_256
    ),
)
