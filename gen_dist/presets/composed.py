"""Two-stage families: the second run trains on what the first one's model makes."""

from gen_dist.config import RunConfig
from gen_dist.models.classifier.matcher import MatcherConfig
from gen_dist.models.composed.code_prior import CodePriorConfig
from gen_dist.models.composed.text_to_image import TextToImageConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.optimization import Adam
from gen_dist.presets.classifier import matcher_8, matcher_32, matcher_64
from gen_dist.presets.preset import Preset, cosine
from gen_dist.presets.vqvae import vqvae_8, vqvae_28
from gen_dist.training.settings import TrainingConfig


def vqvae_prior_8() -> RunConfig:
    """For 8x8 digits: the order of the 4x4 codes of vqvae-8; so short since more overfits 1,300 images."""
    images = 30_000
    return RunConfig(
        model=CodePriorConfig(
            foundation=_model_of(vqvae_8()),
            features=48,
            num_blocks=3,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def vqvae_prior_28() -> RunConfig:
    """For 28x28 images: the order of the 7x7 codes of vqvae-28."""
    images = 100_000
    return RunConfig(
        model=CodePriorConfig(
            foundation=_model_of(vqvae_28()),
            embedding_dim=32,
            features=64,
            num_blocks=6,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=128),
    )


def text_to_image_8() -> RunConfig:
    """For 8x8 images with short captions: for tests, and to see the machine run."""
    optimizer = Adam(learning_rate=2e-3, betas=(0.5, 0.999))
    model = TextToImageConfig(
        foundation=_matcher_of(matcher_8()),
        latent_dim=16,
        text_dim=16,
        generator_channels=32,
        critic_channels=32,
        base_size=2,
        initial_std=None,
        generator_optimizer=optimizer,
        critic_optimizer=optimizer,
    )
    return RunConfig(model=model, training=TrainingConfig(images=200_000, batch_size=64))


def text_to_image_32() -> RunConfig:
    """For 32x32 colour images with captions (emoji): three doublings from 4x4."""
    model = TextToImageConfig(
        foundation=_matcher_of(matcher_32()), latent_dim=64, text_dim=64, generator_channels=64, critic_channels=64
    )
    return RunConfig(model=model, training=TrainingConfig(images=2_000_000, batch_size=64, channels_last=True))


def text_to_image_64() -> RunConfig:
    """For 64x64 colour images with captions: the paper's sizes, batch and learning rate."""
    return RunConfig(
        model=TextToImageConfig(foundation=_matcher_of(matcher_64())),
        training=TrainingConfig(images=5_000_000, batch_size=64, precision="auto", channels_last=True),
    )


def _matcher_of(config: RunConfig) -> MatcherConfig:
    assert isinstance(config.model, MatcherConfig), "what a text-to-image model builds on"
    return config.model


def _model_of(config: RunConfig) -> VQVAEConfig:
    assert isinstance(config.model, VQVAEConfig), "what a prior over codes builds on"
    return config.model


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="vqvae-prior-8",
        summary="prior over the codes of vqvae-8, second of two runs: needs --foundation",
        build=vqvae_prior_8,
        foundation="vqvae-8",
    ),
    Preset(
        name="vqvae-prior-28",
        summary="prior over the codes of vqvae-28, second of two runs: needs --foundation",
        build=vqvae_prior_28,
        foundation="vqvae-28",
    ),
    Preset(
        name="text-to-image-8",
        summary="GAN-INT-CLS of 8x8 images with captions, second of two runs: needs --foundation",
        build=text_to_image_8,
        foundation="matcher-8",
    ),
    Preset(
        name="text-to-image-32",
        summary="GAN-INT-CLS of 32x32 images with captions (emoji), second of two runs: needs --foundation",
        build=text_to_image_32,
        foundation="matcher-32",
    ),
    Preset(
        name="text-to-image-64",
        summary="GAN-INT-CLS of 64x64 images with captions, the paper's sizes: needs --foundation, for a GPU",
        build=text_to_image_64,
        foundation="matcher-64",
    ),
)
