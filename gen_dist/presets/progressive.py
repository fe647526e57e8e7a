"""Progressive GANs, whose curricula are as long as their networks have sizes."""

from gen_dist.config import RunConfig
from gen_dist.models.gan.progressive import ProgressiveConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset
from gen_dist.training.settings import Stage, TrainingConfig

_PAPER_BATCH_SIZES = (16, 16, 16, 16, 16, 16, 14, 6, 3)  # from 4x4 to 1024x1024: what fitted the authors' memory


def _growing(first_images: int, images: int, num_stages: int) -> tuple[Stage, ...]:
    """The smallest size alone, then stages of which each fades a larger one in, with fresh optimizers."""
    later = Stage(images=images, reset_optimizers=True)
    return (Stage(images=first_images), *(later,) * (num_stages - 1))


def progressive_8() -> RunConfig:
    """For 8x8 digits: 4x4, then 8x8."""
    optimizer = Adam(learning_rate=2e-3, betas=(0.0, 0.99))
    model = ProgressiveConfig(
        latent_dim=32,
        generator_channels=16,
        critic_channels=16,
        max_channels=32,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
    )
    stages = _growing(40_000, 50_000, 2)
    return RunConfig(model=model, training=TrainingConfig(images=90_000, batch_size=64, stages=stages))


def progressive_28() -> RunConfig:
    """For 28x28 grey images (Fashion-MNIST): 7x7, 14x14, then 28x28."""
    model = ProgressiveConfig(
        latent_dim=128,
        generator_channels=32,
        critic_channels=32,
        max_channels=128,
    )
    stages = _growing(400_000, 800_000, 3)
    return RunConfig(
        model=model, training=TrainingConfig(images=2_000_000, batch_size=32, channels_last=True, stages=stages)
    )


def progressive_32() -> RunConfig:
    """For 32x32 colour images (CIFAR-10): 4x4 to 32x32."""
    model = ProgressiveConfig(latent_dim=512, generator_channels=128, critic_channels=128)
    stages = _growing(800_000, 1_600_000, 4)
    return RunConfig(
        model=model,
        training=TrainingConfig(images=5_600_000, batch_size=16, precision="auto", channels_last=True, stages=stages),
    )


def progressive_1024() -> RunConfig:
    """For 1024x1024 colour images: the paper's networks (Table 2) and settings (appendix A.1)."""
    alike = _growing(800_000, 1_600_000, 9)
    stages = tuple(
        Stage(images=stage.images, batch_size=size, reset_optimizers=stage.reset_optimizers)
        for stage, size in zip(alike, _PAPER_BATCH_SIZES, strict=True)
    )
    return RunConfig(
        model=ProgressiveConfig(),
        training=TrainingConfig(images=13_600_000, batch_size=16, precision="auto", channels_last=True, stages=stages),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="progressive-8",
        summary="progressive GAN of 8x8 images (digits): 4x4, then 8x8, under a minute on one core",
        build=progressive_8,
    ),
    Preset(
        name="progressive-28",
        summary="progressive GAN of 28x28 images (Fashion-MNIST): 7x7, 14x14, 28x28",
        build=progressive_28,
    ),
    Preset(
        name="progressive-32",
        summary="progressive GAN of 32x32 colour images (CIFAR-10) in four sizes, for a GPU",
        build=progressive_32,
    ),
    Preset(
        name="progressive-1024",
        summary="progressive GAN of 1024x1024 colour images with the paper's networks in nine sizes, for GPUs",
        build=progressive_1024,
    ),
)
