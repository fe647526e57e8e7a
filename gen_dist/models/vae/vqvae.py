"""VQ-VAE: an autoencoder whose latents are a map of codes, each the nearest vector of a learned codebook.

Paper: A. van den Oord, O. Vinyals, K. Kavukcuoglu (2017), Neural Discrete Representation Learning, arXiv:1711.00937.

Departures: the codebook starts at encoder outputs; a discretised logistic decoder for 8-bit images (then with the
reconstruction in bits) besides the paper's L2; codes that are not used may be restarted. The prior over codes is a run
of its own (`gen_dist/models/composed/code_prior.py`): this model encodes and rebuilds, and does not sample.

| symbol | name here |
|---|---|
| z_e(x), z_q(x) | `latents` and `quantised` |
| e, K, D | `Codebook.vectors`, `num_codes`, `code_dim` |
| k = argmin of the distance (Eq. 1, 2) | `codes` |
| beta | `commitment` |
| N_i, m_i (Eq. 6, 7) | `Codebook.shares`, `Codebook.sums` |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from gen_dist.capabilities import LikelihoodKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import (
    bits_per_dimension,
    discretised_gaussian_log_probability,
    discretised_logistic_log_probability,
)
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.models.solo import solo_player
from gen_dist.nn.codebook import Codebook, perplexity
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_signed, to_signed

PAPER = Paper(
    title="Neural Discrete Representation Learning",
    authors="A. van den Oord, O. Vinyals, K. Kavukcuoglu",
    year=2017,
    arxiv="1711.00937",
)

_SMALLEST_VARIANCE = 1e-6  # far below that of rounding to 8 bits, 5e-6
_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class VQVAEConfig:
    """Settings of the autoencoder.

    Attributes:
        decoder: "l2" minimises the squared error, "discretised-logistic" the code length of 8-bit values.
        hidden: feature maps of the convolutions.
        num_stages: strided convolutions of the encoder; each halves height and width.
        num_residual_blocks: of the encoder and of the decoder.
        residual_hidden: feature maps inside a residual block.
        num_codes: vectors in the codebook (K).
        code_dim: their length (D).
        codebook: how the vectors move: "gradient" of the codebook loss, or "moving-average" of what they stand for.
        codebook_decay: of the moving averages, per step.
        commitment: weight of the term that keeps the encoder near its codes (beta).
        restart_below: codes used less often than this part of 1/K are restarted; 0 for never.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    decoder: Literal["l2", "discretised-logistic"] = "discretised-logistic"
    hidden: int = 128
    num_stages: int = 2
    num_residual_blocks: int = 2
    residual_hidden: int = 32
    num_codes: int = 512
    code_dim: int = 64
    codebook: Literal["gradient", "moving-average"] = "moving-average"
    codebook_decay: float = 0.99
    commitment: float = 0.25
    restart_below: float = 0.0
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "hidden", "num_stages", "residual_hidden", "code_dim")
        if self.num_codes < 2:
            raise ValueError(f"model.num_codes is {self.num_codes}: a codebook needs at least 2")
        if self.num_residual_blocks < 0:
            raise ValueError(f"model.num_residual_blocks is {self.num_residual_blocks}: it must be 0 or more")
        if not 0.0 <= self.codebook_decay < 1.0:
            raise ValueError(f"model.codebook_decay is {self.codebook_decay}: it must lie in [0, 1)")
        if not (math.isfinite(self.commitment) and self.commitment > 0.0):
            raise ValueError(f"model.commitment is {self.commitment}: it must be a positive, finite number")
        if not 0.0 <= self.restart_below < 1.0:
            raise ValueError(f"model.restart_below is {self.restart_below}: it must lie in [0, 1)")
        if self.restart_below and self.codebook == "gradient":
            raise ValueError(
                f"model.restart_below is {self.restart_below}: only a codebook of moving averages knows how often its "
                "codes are used; set model.codebook to moving-average, or this to 0"
            )

    def build(self, data: DataSpec) -> "VQVAE":
        """A freshly initialised autoencoder; ValueError when the image's sides can't be halved so often."""
        factor = 2**self.num_stages
        if data.height % factor or data.width % factor:
            raise ValueError(
                f"model.num_stages is {self.num_stages}: images of {data.height} x {data.width} pixels can't be "
                f"halved so often; both sides must be multiples of {factor}"
            )
        return VQVAE(self, data)


@final
class ResidualBlock(nn.Module):
    """ReLU, 3x3 convolution, ReLU, 1x1 convolution around a skip connection (Sec. 4.1)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, features: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        """The features plus what the block adds to them."""
        added: Tensor = self.layers(features)
        return features + added


@final
class VQVAE(Learner):
    """Strided convolutions to a map of vectors, a codebook, transposed convolutions back (Sec. 4.1)."""

    def __init__(self, config: VQVAEConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        self.code_shape = (data.height >> config.num_stages, data.width >> config.num_stages)
        self.encoder = _encoder(config, data.channels)
        self.codebook = Codebook(
            config.num_codes,
            config.code_dim,
            learned=config.codebook == "gradient",
            decay=config.codebook_decay,
            restart_below=config.restart_below,
        )
        self.decoder = _decoder(config, data.channels if config.decoder == "l2" else 2 * data.channels)
        self.error_variance: Tensor
        if config.decoder == "l2":  # what the squared error says of the pixels' noise; it moves like a codebook
            self.register_buffer("error_variance", torch.ones(()))
        self.register_buffer("origin", torch.zeros(()), persistent=False)  # knows the dtype and device of the weights

    origin: Tensor

    @property
    def players(self) -> Mapping[str, Player]:
        """Both networks (and the codebook, if it has a gradient) are one player, "model"."""
        return solo_player(self, self.config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "model"."""
        return (Phase(name="model", player="model", signal=self.quantised_reconstruction),)

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Start the codebook at encoder outputs."""
        self.codebook.initialise(self.latents(batch.images))
        if self.config.decoder == "l2":
            rebuilt = self._decoded(self.codebook.look_up(self.codes(batch.images)))
            self.error_variance.copy_((rebuilt - self._targets(batch.images)).square().mean())

    def quantised_reconstruction(self, batch: ImageBatch, context: Context) -> Signal:
        """Reconstruction, codebook loss and commitment (Eq. 3) per pixel; the gradient skips the quantisation."""
        latents = self.latents(batch.images)
        codes = self.codebook.nearest(latents)
        quantised = self.codebook.look_up(codes)
        output = self._decoded(straight_through(latents, quantised))
        squared_error = (output[:, : self.data.channels] - self._targets(batch.images)).square().mean()
        scale = 1.0 / (len(batch) * self.data.num_dimensions)
        commitment = scale * (latents - quantised.detach()).square().sum()
        usage = self.codebook.statistics(latents, codes)
        statistics = {} if self.codebook.learned else dict(usage)
        metrics = {"commitment": commitment.detach(), "perplexity": perplexity(usage["shares"])}
        if self.config.decoder == "l2":
            reconstruction = squared_error
            statistics["squared_error"] = squared_error.detach()
        else:
            nats = -self._log_likelihood(output, batch.images).mean()
            reconstruction = bits_per_dimension(nats, self.data.num_dimensions)
        metrics["reconstruction"] = reconstruction.detach()
        loss = reconstruction + self.config.commitment * commitment
        if self.codebook.learned:
            loss = loss + scale * (quantised - latents.detach()).square().sum()
        return Loss(loss, metrics, statistics)

    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """Move the codebook's running means, and that of the squared error."""
        if not self.codebook.learned:
            self.codebook.update(statistics)
        if self.config.decoder == "l2":
            self.error_variance.lerp_(statistics["squared_error"], 1.0 - self.config.codebook_decay)

    def latents(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The encoder's outputs before they are quantised."""
        latents: Tensor = self.encoder(self._targets(images))
        return latents.to(self.origin.dtype)

    def codes(self, images: UInt8[Tensor, "b c h w"]) -> Int64[Tensor, "b i j"]:
        """The codes of images."""
        return self.codebook.nearest(self.latents(images))

    @torch.no_grad()
    def decode_codes(self, codes: Int64[Tensor, "b i j"]) -> UInt8[Tensor, "b c h w"]:
        """The mean of the decoder's distribution."""
        return from_signed(self._decoded(self.codebook.look_up(codes))[:, : self.data.channels])

    def log_likelihood(self, images: UInt8[Tensor, "b c h w"], codes: Int64[Tensor, "b i j"]) -> Float[Tensor, " b"]:
        """Log p(x given z) in nats. An L2 decoder is a Gaussian with the training error's variance, cut into bins."""
        return self._log_likelihood(self._decoded(self.codebook.look_up(codes)), images)

    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
        """The quantised vectors, flat; the gradient skips the quantisation."""
        latents = self.latents(images)
        return straight_through(latents, self.codebook.look_up(self.codebook.nearest(latents))).flatten(1)

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """The vectors of codes that are drawn evenly, each for itself (the prior of Sec. 3.1), flat."""
        codes = torch.randint(self.config.num_codes, (num, *self.code_shape), device=self.origin.device)
        return self.codebook.look_up(codes).flatten(1)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "b z"]) -> UInt8[Tensor, "b c h w"]:
        """The images of such vectors."""
        quantised = latents.reshape(len(latents), self.config.code_dim, *self.code_shape)
        return from_signed(self._decoded(quantised)[:, : self.data.channels])

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """One term of the sum over all code maps."""
        return "lower bound"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """All 256 values."""
        return "8-bit"

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log p(x given z) + log p(z) in nats, z the image's own codes, under the uniform prior of Sec. 3.1."""
        codes = self.codes(images)
        return self.log_likelihood(images, codes) - codes[0].numel() * math.log(self.config.num_codes)

    def _targets(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return to_signed(images, self.origin.dtype)

    def _decoded(self, quantised: Float[Tensor, "b d i j"]) -> Float[Tensor, "b k h w"]:
        output: Tensor = self.decoder(quantised)
        return output.to(self.origin.dtype)

    def _log_likelihood(
        self, output: Float[Tensor, "b k h w"], images: UInt8[Tensor, "b c h w"]
    ) -> Float[Tensor, " b"]:
        targets = self._targets(images)
        if self.config.decoder == "l2":
            log_scale = 0.5 * self.error_variance.clamp_min(_SMALLEST_VARIANCE).log().expand_as(output)
            values = discretised_gaussian_log_probability(output, log_scale, targets)
        else:
            mean, log_scale = output.chunk(2, dim=1)
            values = discretised_logistic_log_probability(mean, log_scale, targets)
        return values.flatten(1).sum(1)


def straight_through(latents: Float[Tensor, "*shape"], quantised: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The value of `quantised` with the gradient of `latents` (Sec. 3.2)."""
    return latents + (quantised - latents).detach()


def _encoder(config: VQVAEConfig, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for stage in range(config.num_stages):
        layers += [nn.Conv2d(config.hidden if stage else channels, config.hidden, 4, stride=2, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(config.hidden, config.hidden, 3, padding=1), *_residual_blocks(config)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(config.hidden, config.code_dim, 1))


def _decoder(config: VQVAEConfig, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(config.code_dim, config.hidden, 3, padding=1), *_residual_blocks(config)]
    for stage in reversed(range(config.num_stages)):
        channels_out = config.hidden if stage else channels
        layers += [nn.ReLU(), nn.ConvTranspose2d(config.hidden, channels_out, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


def _residual_blocks(config: VQVAEConfig) -> list[nn.Module]:
    return [ResidualBlock(config.hidden, config.residual_hidden) for _ in range(config.num_residual_blocks)]
