"""Variational autoencoder: encoder and decoder trained together on a lower bound of the log-likelihood.

Paper: D. P. Kingma, M. Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114.

Departures: convolutional networks besides the paper's fully connected ones, SiLU, a discretised logistic decoder
(Salimans et al. 2017, arXiv:1701.05517) for 8-bit images, a factor beta on the divergence (Higgins et al. 2017), and
the importance-weighted bound (Burda et al. 2016, arXiv:1509.00519) as an option when images are scored.

| symbol | name here |
|---|---|
| q(z given x) = N(mu, sigma^2 I) | `posterior`: mean and log-variance |
| p(x given z) | `log_likelihood` of targets under the decoder |
| L, the bound (Eq. 3) | reconstruction - divergence |
| epsilon (Eq. 4) | the noise in `draw_posterior` |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, LikelihoodKind, Loss, Phase, Player, Signal
from gen_dist.losses.divergence import kl_from_standard_normal
from gen_dist.losses.likelihood import (
    bernoulli_log_probability,
    binarise,
    bits_per_dimension,
    discretised_logistic_log_probability,
    gaussian_log_density,
    sample_logistic,
    standard_normal_log_density,
)
from gen_dist.models.paper import Paper
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_signed, from_unit, to_signed

PAPER = Paper(title="Auto-Encoding Variational Bayes", authors="D. P. Kingma, M. Welling", year=2014, arxiv="1312.6114")

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class VAEConfig:
    """Settings of the autoencoder.

    Attributes:
        decoder: distribution of a pixel: "discretised-logistic" over 256 values, "gaussian" over dequantised values,
            or "bernoulli" over images that are thresholded at 128.
        architecture: "mlp", or "conv" with stages that halve the image.
        hidden: widths of the encoder's hidden layers (mlp) or feature maps of its stages (conv), mirrored in the
            decoder. An mlp without hidden layers is linear.
        latent_dim: number of latent variables.
        beta: weight of the divergence in the training loss. Scores are of the true bound whatever it is.
        importance_samples: latent draws per image when images are scored; 1 is the paper's bound with the divergence
            in closed form, more is the importance-weighted bound.
        pixel_noise: whether samples are drawn from the decoder's distribution, or are its mean.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    decoder: Literal["bernoulli", "discretised-logistic", "gaussian"] = "discretised-logistic"
    architecture: Literal["mlp", "conv"] = "mlp"
    hidden: tuple[int, ...] = (256, 256)
    latent_dim: int = 16
    beta: float = 1.0
    importance_samples: int = 1
    pixel_noise: bool = False
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"model.hidden is {self.hidden}: each layer needs at least 1 unit")
        if self.architecture == "conv" and not self.hidden:
            raise ValueError("model.hidden is empty: a conv architecture needs at least one stage")
        for name in ("latent_dim", "importance_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1")
        if not (math.isfinite(self.beta) and self.beta >= 0.0):
            raise ValueError(f"model.beta is {self.beta}: it must be 0 or a positive, finite number")

    def build(self, data: DataSpec) -> "VAE":
        """A freshly initialised autoencoder of such data."""
        return VAE(self, data)


@final
class VAE(Learner):
    """An encoder to a diagonal Gaussian, a decoder from it, and a standard normal prior."""

    def __init__(self, config: VAEConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        # The decoder gives a logit per value, or a mean and a log-scale.
        channels_out = data.channels if config.decoder == "bernoulli" else 2 * data.channels
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.architecture == "mlp":
            self.encoder = _mlp([data.num_dimensions, *config.hidden, 2 * config.latent_dim])
            widths = [config.latent_dim, *reversed(config.hidden), channels_out * data.height * data.width]
            self.decoder = nn.Sequential(
                *_mlp(widths).children(), nn.Unflatten(1, (channels_out, data.height, data.width))
            )
        else:
            self.encoder = _convolutional_encoder(data, config.hidden, 2 * config.latent_dim)
            self.decoder = _convolutional_decoder(data, config.hidden, config.latent_dim, channels_out)
        self.register_buffer("origin", torch.zeros(()), persistent=False)  # knows the dtype and device of the weights

    origin: Tensor

    @property
    def players(self) -> Mapping[str, Player]:
        """Encoder and decoder move together."""
        config = self.config
        return {
            "model": Player(
                module=self, optimizer=config.optimizer, schedule=config.schedule, ema_decay=config.ema_decay
            )
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "bound"."""
        return (Phase(name="bound", player="model", signal=self.negative_bound),)

    def negative_bound(self, batch: ImageBatch, context: Context) -> Signal:
        """The negative bound with weight beta on the divergence, in bits per dimension (Eq. 7, one draw)."""
        reconstruction, divergence = self.bound_terms(self.targets(batch.images))
        nats = self.config.beta * divergence - reconstruction
        metrics = {"reconstruction": reconstruction.detach().mean(), "divergence": divergence.detach().mean()}
        return Loss(bits_per_dimension(nats.mean() - self.log_bin_volume, self.data.num_dimensions), metrics)

    def targets(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What the decoder's distribution is over, and what the encoder sees; dequantised for a Gaussian decoder."""
        match self.config.decoder:
            case "bernoulli":
                return binarise(images, self.origin.dtype)
            case "discretised-logistic":
                return to_signed(images, self.origin.dtype)
            case "gaussian":
                values = images.to(self.origin.dtype)
                return (values + torch.rand_like(values)) / 128.0 - 1.0

    @property
    def log_bin_volume(self) -> float:
        """Logarithm of the volume of one 8-bit image among the dequantised images in [-1, 1]; 0 without them."""
        return self.data.num_dimensions * math.log(2.0 / 256.0) if self.config.decoder == "gaussian" else 0.0

    def posterior(self, targets: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Mean and log-variance of q(z given x)."""
        mean, log_variance = self.encoder(targets).to(self.origin.dtype).chunk(2, dim=1)
        return mean, log_variance

    def log_likelihood(self, targets: Float[Tensor, "b c h w"], latents: Float[Tensor, "b z"]) -> Float[Tensor, " b"]:
        """Log p(x given z) in nats; a density for a Gaussian decoder."""
        output = self._decode(latents)
        match self.config.decoder:
            case "bernoulli":
                values = bernoulli_log_probability(output, targets)
            case "discretised-logistic":
                mean, log_scale = output.chunk(2, dim=1)
                values = discretised_logistic_log_probability(mean, log_scale, targets)
            case "gaussian":
                mean, log_scale = output.chunk(2, dim=1)
                values = gaussian_log_density(mean, log_scale, targets)
        return values.flatten(1).sum(1)

    def bound_terms(self, targets: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """The two terms of the bound in nats: reconstruction (one draw of z) and divergence (closed form)."""
        mean, log_variance = self.posterior(targets)
        reconstruction = self.log_likelihood(targets, draw_posterior(mean, log_variance))
        return reconstruction, kl_from_standard_normal(mean, log_variance)

    def importance_weighted_bound(self, targets: Float[Tensor, "b c h w"], num_draws: int) -> Float[Tensor, " b"]:
        """Log of the mean of p(x, z) / q(z given x) over draws of z (arXiv:1509.00519, Sec. 3), in nats."""
        mean, log_variance = self.posterior(targets)
        total = torch.full_like(mean[:, 0], -math.inf)
        for _ in range(num_draws):
            latents = draw_posterior(mean, log_variance)
            prior = standard_normal_log_density(latents).sum(1)
            proposal = gaussian_log_density(mean, 0.5 * log_variance, latents).sum(1)
            total = torch.logaddexp(total, self.log_likelihood(targets, latents) + prior - proposal)
        return total - math.log(num_draws)

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """The bound lies below the log-likelihood."""
        return "lower bound"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """What a Bernoulli decoder models is binary."""
        return "binary" if self.config.decoder == "bernoulli" else "8-bit"

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """The bound in nats, with as many draws as the configuration asks for."""
        targets = self.targets(images)
        if self.config.importance_samples > 1:
            return self.importance_weighted_bound(targets, self.config.importance_samples) + self.log_bin_volume
        reconstruction, divergence = self.bound_terms(targets)
        return reconstruction - divergence + self.log_bin_volume

    @torch.no_grad()
    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
        """The posterior's mean."""
        return self.posterior(self.targets(images))[0]

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Draws from the prior."""
        return torch.randn(num, self.config.latent_dim, dtype=self.origin.dtype, device=self.origin.device)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The mean of the decoder's distribution; grey for a Bernoulli decoder too."""
        output = self._decode(latents)
        return from_unit(output.sigmoid()) if self.config.decoder == "bernoulli" else from_signed(output.chunk(2, 1)[0])

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Decode draws from the prior; `temperature` scales the prior's standard deviation."""
        if condition is not None:
            raise ValueError("a condition was given: this VAE is unconditional")
        latents = temperature * self.draw_latents(num)
        if not self.config.pixel_noise:
            return self.decode(latents)
        output = self._decode(latents)
        if self.config.decoder == "bernoulli":
            return from_unit(output.sigmoid().bernoulli())
        mean, log_scale = output.chunk(2, dim=1)
        if self.config.decoder == "gaussian":
            return from_signed(mean + log_scale.exp() * torch.randn_like(mean))
        return from_signed(sample_logistic(mean, log_scale))

    def _decode(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b k h w"]:
        output: Tensor = self.decoder(latents)
        return output.to(self.origin.dtype)


def draw_posterior(mean: Float[Tensor, "b z"], log_variance: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
    """Reparameterised draws: mean + sigma * epsilon (Eq. 4)."""
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def _sizes(data: DataSpec, num_stages: int) -> list[tuple[int, int]]:
    """Height and width before the first stage and after each; odd sides are rounded up."""
    sizes = [(data.height, data.width)]
    for _ in range(num_stages):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _convolutional_encoder(data: DataSpec, channels: Sequence[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels_in, channels_out in zip([data.channels, *channels], channels, strict=False):
        layers += [nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1), nn.SiLU()]
    height, width = _sizes(data, len(channels))[-1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * height * width, outputs))


def _convolutional_decoder(data: DataSpec, channels: Sequence[int], inputs: int, outputs: int) -> nn.Sequential:
    sizes = _sizes(data, len(channels))
    height, width = sizes[-1]
    layers: list[nn.Module] = [
        nn.Linear(inputs, channels[-1] * height * width),
        nn.Unflatten(1, (channels[-1], height, width)),
        nn.SiLU(),
    ]
    widths = [channels[0], *channels]  # the last stage keeps its width for the output convolution
    for stage in reversed(range(len(channels))):
        layers += [nn.Upsample(size=sizes[stage]), nn.Conv2d(widths[stage + 1], widths[stage], 3, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(channels[0], outputs, 3, padding=1))
