"""Two-stage families: the second run trains on what the first one's model makes."""

from gen_dist.config import RunConfig
from gen_dist.models.composed.code_prior import CodePriorConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.optimization import Adam
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
)
