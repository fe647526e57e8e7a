"""VQ-VAE: the first of the two runs whose second learns a prior over codes."""

from gen_dist.config import RunConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.optimization import Adam
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def vqvae_8() -> RunConfig:
    """For 8x8 digits: a map of 4x4 codes out of 32."""
    images = 100_000
    return RunConfig(
        model=VQVAEConfig(
            hidden=64,
            num_stages=1,
            num_codes=32,
            code_dim=16,
            restart_below=0.1,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def vqvae_28() -> RunConfig:
    """For 28x28 images: a map of 7x7 codes out of 128."""
    images = 200_000
    return RunConfig(
        model=VQVAEConfig(
            hidden=64,
            num_stages=2,
            num_codes=128,
            code_dim=32,
            restart_below=0.1,
            optimizer=Adam(learning_rate=1e-3),
            schedule=cosine(images),
        ),
        training=TrainingConfig(images=images, batch_size=128, channels_last=True),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(name="vqvae-8", summary="VQ-VAE of 8x8 images (digits): 4x4 codes, first of two runs", build=vqvae_8),
    Preset(name="vqvae-28", summary="VQ-VAE of 28x28 images: 7x7 codes, first of two runs", build=vqvae_28),
)
