"""What all latent variable models of images share: a prior, a decoder, an approximate posterior and its bounds.

A family gives `posterior` and `objective` (what is minimised in training); the bounds, scores, samples and latents
that follow from them stand here once.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gen_dist.capabilities import LikelihoodKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import bits_per_dimension, standard_normal_log_density
from gen_dist.models.solo import solo_player
from gen_dist.models.vae.decoders import log_bin_volume, pixel_decoder
from gen_dist.models.vae.networks import build_decoder, build_encoder
from gen_dist.models.vae.posterior import Draws, Posterior, num_active_units
from gen_dist.models.vae.settings import LatentVariableConfig, WeightedBoundConfig
from gen_dist.types import DataSpec, ImageBatch, Moment

_DRAWS_AT_ONCE = 16  # of each image, when images are scored: bounds the memory, not the result


@dataclass(frozen=True, slots=True)
class BoundTerms:
    """The bound (arXiv:1312.6114, Eq. 3) in its two terms, in nats.

    Attributes:
        reconstruction: estimate of E(log p(x given z)) under the posterior.
        divergence: of the posterior from the prior, in parts that add up to it.
    """

    reconstruction: Float[Tensor, " b"]
    divergence: Float[Tensor, "b parts"]

    @property
    def bound(self) -> Float[Tensor, " b"]:
        """Reconstruction minus divergence."""
        return self.reconstruction - self.divergence.sum(1)

    @property
    def metrics(self) -> dict[str, Tensor]:
        """Both terms for people to read."""
        return {
            "reconstruction": self.reconstruction.detach().mean(),
            "divergence": self.divergence.detach().sum(1).mean(),
        }


class LatentVariableModel(Learner):
    """p(x) is the integral of p(x given z) p(z) over latents z.

    Args:
        config: of networks and scores.
        data: what the images are.
        num_statistics: outputs of the encoder, from which the posterior is made.
        values_per_variable: numbers that make up one latent variable, 1 but for categorical ones.
    """

    def __init__(
        self, config: LatentVariableConfig, data: DataSpec, *, num_statistics: int, values_per_variable: int = 1
    ) -> None:
        super().__init__()
        self.latent_config = config
        self.data = data
        self.values_per_variable = values_per_variable
        self.pixels = pixel_decoder(config.decoder)
        self.encoder = build_encoder(config.architecture, data, config.hidden, num_statistics)
        channels_out = self.pixels.outputs_per_value * data.channels
        self.decoder = build_decoder(config.architecture, data, config.hidden, self.num_latents, channels_out)
        self.register_buffer("origin", torch.zeros(()), persistent=False)  # knows the dtype and device of the weights

    origin: Tensor

    @abstractmethod
    def posterior(self, targets: Float[Tensor, "b c h w"]) -> Posterior:
        """q(z given x)."""

    @abstractmethod
    def objective(
        self, targets: Float[Tensor, "b c h w"], moment: Moment
    ) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """What training minimises, in nats per image, and metrics for people to read."""

    def log_prior(self, latents: Float[Tensor, "s b z"]) -> Float[Tensor, "s b"]:
        """Log p(z); a hook for priors other than the standard normal."""
        return standard_normal_log_density(latents).sum(2)

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Draws from the prior; a hook for priors other than the standard normal."""
        return torch.randn(num, self.num_latents, dtype=self.origin.dtype, device=self.origin.device)

    def tempered(self, latents: Float[Tensor, "n z"], temperature: float) -> Float[Tensor, "n z"]:
        """Draws from the prior, made into draws at a temperature; a hook for priors other than the standard normal."""
        return temperature * latents

    @property
    def num_latents(self) -> int:
        """Length of a latent vector."""
        return self.latent_config.latent_dim * self.values_per_variable

    @property
    def players(self) -> Mapping[str, Player]:
        """Encoder and decoder move together, as "model"."""
        return solo_player(self, self.latent_config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "bound"."""
        return (Phase(name="bound", player="model", signal=self.negative_bound),)

    def negative_bound(self, batch: ImageBatch, context: Context) -> Signal:
        """The objective in bits per dimension."""
        nats, metrics = self.objective(self.targets(batch.images), context.moment)
        return Loss(bits_per_dimension(nats - self.log_bin_volume, self.data.num_dimensions), metrics)

    def targets(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What the decoder's distribution is over, and what the encoder sees; dequantised for a Gaussian decoder."""
        return self.pixels.targets(images, self.origin.dtype)

    @property
    def log_bin_volume(self) -> float:
        """What turns a log-density of dequantised images into a bound for 8-bit images; 0 without them."""
        return log_bin_volume(self.pixels, self.data)

    def statistics(self, targets: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o"]:
        """The encoder's outputs, in the dtype of the weights."""
        outputs: Tensor = self.encoder(targets)
        return outputs.to(self.origin.dtype)

    def decoder_output(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b k h w"]:
        """Parameters of the pixels' distribution, in the dtype of the weights."""
        output: Tensor = self.decoder(latents)
        return output.to(self.origin.dtype)

    def log_likelihood(
        self, targets: Float[Tensor, "b c h w"], latents: Float[Tensor, "s b z"]
    ) -> Float[Tensor, "s b"]:
        """Log p(x given z) of each draw in nats; a density for a Gaussian decoder."""
        num, size = latents.shape[:2]
        repeated = targets.expand(num, *targets.shape).flatten(0, 1)
        values = self.pixels.log_likelihood(self.decoder_output(latents.flatten(0, 1)), repeated)
        return values.reshape(num, size)

    def bound_terms(self, targets: Float[Tensor, "b c h w"], posterior: Posterior, num_draws: int = 1) -> BoundTerms:
        """The two terms of the bound, the reconstruction estimated from draws."""
        draws = posterior.draw(num_draws)
        reconstruction = draws.expectation(self.log_likelihood(targets, draws.latents))
        return BoundTerms(reconstruction, posterior.divergence(draws))

    def log_importance_weights(self, targets: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "s b"]:
        """Log p(x, z) - log q(z given x) of each draw."""
        latents = draws.latents
        return self.log_likelihood(targets, latents) + self.log_prior(latents) - draws.log_density.sum(2)

    def importance_weighted_bound(
        self, targets: Float[Tensor, "b c h w"], posterior: Posterior, num_draws: int
    ) -> Float[Tensor, " b"]:
        """Log of the weighted mean of p(x, z) / q(z given x) over draws of z (arXiv:1509.00519, Sec. 3), in nats."""
        parts = []
        for first in range(0, num_draws, _DRAWS_AT_ONCE):
            num = min(_DRAWS_AT_ONCE, num_draws - first)
            draws = posterior.draw(num)
            weights = self.log_importance_weights(targets, draws) + draws.log_shares
            parts.append(torch.logsumexp(weights, 0) + math.log(num / num_draws))
        return torch.logsumexp(torch.stack(parts), 0)

    def weighted_bound(self, terms: BoundTerms, config: WeightedBoundConfig, moment: Moment) -> Float[Tensor, ""]:
        """The negative bound in nats per image, with free bits and a weight on the divergence."""
        parts = terms.divergence.mean(0)
        if config.free_bits:
            parts = parts.clamp(min=config.free_bits * config.latent_dim / len(parts))
        return config.divergence_weight(moment) * parts.sum() - terms.reconstruction.mean()

    def active_units(self, posterior: Posterior) -> Float[Tensor, ""]:
        """How many latent variables vary with the image, over the micro-batch; few mean a collapsed posterior."""
        centre = posterior.centre
        return num_active_units(centre.reshape(len(centre), -1, self.values_per_variable))

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """The bound lies below the log-likelihood."""
        return "lower bound"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """What the decoder's distribution is over."""
        return self.pixels.likelihood_of

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """The bound in nats, with as many draws as the configuration asks for."""
        targets = self.targets(images)
        posterior, num_draws = self.posterior(targets), self.latent_config.importance_samples
        if num_draws > 1:
            return self.importance_weighted_bound(targets, posterior, num_draws) + self.log_bin_volume
        return self.bound_terms(targets, posterior).bound + self.log_bin_volume

    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
        """The posterior's centre, differentiable in the weights."""
        return self.posterior(self.pixels.centres(images, self.origin.dtype)).centre

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The mean of the decoder's distribution; grey for a Bernoulli decoder too."""
        return self.pixels.mean(self.decoder_output(latents))

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Decode draws from the prior at a temperature, which scales the standard deviation of a normal prior."""
        if condition is not None:
            raise ValueError(f"a condition was given: this {type(self).__name__} is unconditional")
        output = self.decoder_output(self.tempered(self.draw_latents(num), temperature))
        return self.pixels.draw(output) if self.latent_config.pixel_noise else self.pixels.mean(output)
