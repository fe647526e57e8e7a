"""Autoencoder: a network that squeezes an image through a few numbers and rebuilds it.

Paper: G. E. Hinton, R. R. Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural Networks, Science 313.
Denoising: P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol (2008), Extracting and Composing Robust Features with
Denoising Autoencoders, ICML: the input is corrupted, the clean image is to be rebuilt.

It is no distribution: it encodes and decodes, and neither draws nor scores images.

Departures: trained as a whole by Adam without the paper's pretraining by Boltzmann machines, SiLU instead of the
logistic function, convolutional networks besides fully connected ones, squared error on images in [-1, 1].

| symbol | name here |
|---|---|
| x~ drawn from q_D(x~ given x) (Vincent Sec. 2.3) | `corrupt` |
| y = f(x~), z = g(y) | `encoder`, `decoder` |
| nu, the share of inputs that are forced to 0 | `noise_level` of "masking" |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.models.solo import solo_player
from gen_dist.models.vae.networks import build_decoder, build_encoder
from gen_dist.models.vae.settings import check_networks
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_signed, to_signed

PAPER = Paper(
    title="Reducing the Dimensionality of Data with Neural Networks",
    authors="G. E. Hinton, R. R. Salakhutdinov",
    year=2006,
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderConfig:
    """Settings of the autoencoder.

    Attributes:
        architecture: "mlp", or "conv" with stages that halve the image.
        hidden: widths of the encoder's hidden layers (mlp) or feature maps of its stages (conv), mirrored in the
            decoder. An mlp without hidden layers is linear: it finds the subspace of principal component analysis.
        latent_dim: numbers that an image is squeezed through.
        noise: what corrupts the input in training: "none", "gaussian" (added), or "masking" (values become black).
        noise_level: standard deviation of the noise on the scale [-1, 1], or the share of values that are masked.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    architecture: Literal["mlp", "conv"] = "mlp"
    hidden: tuple[int, ...] = (256, 128)
    latent_dim: int = 16
    noise: Literal["none", "gaussian", "masking"] = "none"
    noise_level: float = 0.25
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_networks(self.architecture, self.hidden)
        check_at_least_one(self, "latent_dim")
        largest = 1.0 if self.noise == "masking" else math.inf
        if not (math.isfinite(self.noise_level) and 0.0 <= self.noise_level <= largest):
            raise ValueError(
                f"model.noise_level is {self.noise_level}: it must be 0 or a positive, finite number"
                f"{', at most 1, as it is a share of the values' if largest == 1.0 else ''}"
            )

    def build(self, data: DataSpec) -> "Autoencoder":
        """A freshly initialised autoencoder of such data."""
        return Autoencoder(self, data)


@final
class Autoencoder(Learner):
    """An encoder, a decoder, and the squared error between them.

    Where latents lie, nothing says in advance; `finalise` keeps the mean and covariance of the training images'
    latents, so that `draw_latents` has a place to draw from (a starting point to look around, not a model of images).
    """

    def __init__(self, config: AutoencoderConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        size = config.latent_dim
        self.encoder = build_encoder(config.architecture, data, config.hidden, size)
        self.decoder = build_decoder(config.architecture, data, config.hidden, size, data.channels)
        self.register_buffer("latent_mean", torch.zeros(size))
        self.register_buffer("latent_spread", torch.eye(size))  # symmetric square root of the covariance

    latent_mean: Tensor
    latent_spread: Tensor

    @property
    def players(self) -> Mapping[str, Player]:
        """Encoder and decoder move together, as "model"."""
        return solo_player(self, self.config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "reconstruction"."""
        return (Phase(name="reconstruction", player="model", signal=self.squared_error),)

    def squared_error(self, batch: ImageBatch, context: Context) -> Signal:
        """Mean squared difference between clean images and what is rebuilt from corrupted ones, on [-1, 1]."""
        values = to_signed(batch.images, self.latent_mean.dtype)
        rebuilt = self.rebuild(self.latents(self.corrupt(values)))
        return Loss((rebuilt - values).square().mean())

    def corrupt(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Inputs with noise, drawn anew for each value."""
        match self.config.noise:
            case "none":
                return values
            case "gaussian":
                return values + self.config.noise_level * torch.randn_like(values)
            case "masking":
                return torch.where(torch.rand_like(values) < self.config.noise_level, -1.0, values)

    def latents(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
        """The encoder's output for values in [-1, 1], in the dtype of the weights."""
        latents: Tensor = self.encoder(values)
        return latents.to(self.latent_mean.dtype)

    def rebuild(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """The decoder's output, on the scale [-1, 1]."""
        values: Tensor = self.decoder(latents)
        return values.to(self.latent_mean.dtype)

    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
        """Latents of clean images, differentiable in the weights."""
        return self.latents(to_signed(images, self.latent_mean.dtype))

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The rebuilt images."""
        return from_signed(self.rebuild(latents))

    @torch.no_grad()
    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Measure where the training images' latents lie."""
        latents = torch.cat([self.encode(batch.images) for batch in batches])
        self.latent_mean.copy_(latents.mean(0))
        centred = latents - self.latent_mean
        variances, directions = torch.linalg.eigh(centred.T @ centred / len(latents))
        self.latent_spread.copy_(directions * variances.clamp(min=0.0).sqrt() @ directions.T)

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Draws from the Gaussian with the mean and covariance of the training images' latents."""
        noise = torch.randn(num, self.config.latent_dim, dtype=self.latent_mean.dtype, device=self.latent_mean.device)
        return self.latent_mean + noise @ self.latent_spread
