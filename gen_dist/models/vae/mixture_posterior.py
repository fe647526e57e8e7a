"""VAE with a Gaussian-mixture posterior: several answers to the question which latents could have made an image.

Paper: W. R. Morningstar, S. M. Vikram, C. Ham, A. Gallagher, J. V. Dillon (2021), Automatic Differentiation
Variational Inference with Mixtures, arXiv:2003.01687.

Drawing a component is not differentiable, so nothing draws one: every component is sampled, and what is found there is
weighed by the component's probability (stratified sampling). The bound's expectation is the mixture's, its gradient
reaches means, scales and mixture weights alike, and log q is the density of the whole mixture, so components that lie
on one another gain nothing.

The plain bound punishes components that find nothing, so mixtures collapse onto one mode (the paper's Sec. 3); the
importance-weighted bound of the same draws does not.

Departures: the networks and decoders are those of `gen_dist.models.vae.vae`, and the components' means start apart.

| symbol | name here |
|---|---|
| K components, alpha_k their weights | `num_components`, exp of `log_shares` |
| T draws from each component | `training_samples` |
| SELBO, the stratified bound | `bound_terms` |
| SIWAE, its importance-weighted form | `importance_weighted_bound` |
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.losses.likelihood import gaussian_log_density
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.models.vae.latent import LatentVariableModel
from gen_dist.models.vae.posterior import Draws, estimated_divergence
from gen_dist.models.vae.settings import WeightedBoundConfig
from gen_dist.types import DataSpec, Moment

PAPER = Paper(
    title="Automatic Differentiation Variational Inference with Mixtures",
    authors="W. R. Morningstar, S. M. Vikram, C. Ham, A. Gallagher, J. V. Dillon",
    year=2021,
    arxiv="2003.01687",
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureVAEConfig(WeightedBoundConfig):
    """Settings of the autoencoder.

    Attributes:
        num_components: Gaussians in the posterior of each image; training decodes draws from every one.
        training_samples: draws from each component in training.
        objective: of training: "elbo", or "importance-weighted" (which knows no weight on the divergence).
    """

    num_components: int = 4
    training_samples: int = 1
    objective: Literal["elbo", "importance-weighted"] = "elbo"

    def __post_init__(self) -> None:
        WeightedBoundConfig.__post_init__(self)
        check_at_least_one(self, "num_components", "training_samples")
        if self.objective == "importance-weighted" and (self.beta, self.kl_warmup_images, self.free_bits) != (1, 0, 0):
            raise ValueError(
                "model.objective is 'importance-weighted': it has no divergence to weigh, so leave model.beta at 1 and "
                "model.kl_warmup_images and model.free_bits at 0"
            )

    def build(self, data: DataSpec) -> "MixtureVAE":
        """A freshly initialised autoencoder of such data."""
        return MixtureVAE(self, data)


@final
class GaussianMixture:
    """A mixture of diagonal Gaussians, against a standard normal prior."""

    def __init__(
        self,
        log_weights: Float[Tensor, "b k"],
        means: Float[Tensor, "b k z"],
        log_variances: Float[Tensor, "b k z"],
    ) -> None:
        self.log_weights, self.means, self.log_variances = log_weights, means, log_variances

    @property
    def centre(self) -> Float[Tensor, "b z"]:
        """The mean of the mixture."""
        return (self.log_weights.exp()[..., None] * self.means).sum(1)

    def draw(self, num: int) -> Draws:
        """`num` draws from every component, each with the component's probability as its share."""
        means = self.means.transpose(0, 1).repeat(num, 1, 1)
        log_variances = self.log_variances.transpose(0, 1).repeat(num, 1, 1)
        latents = means + torch.exp(0.5 * log_variances) * torch.randn_like(means)
        log_shares = self.log_weights.T.repeat(num, 1) - math.log(num)
        return Draws(latents, self.log_density(latents)[..., None], log_shares)

    def log_density(self, latents: Float[Tensor, "s b z"]) -> Float[Tensor, "s b"]:
        """Log-density of the whole mixture."""
        num = latents.shape[0]
        means, log_scales = (t.expand(num, *t.shape) for t in (self.means, 0.5 * self.log_variances))
        values = latents[:, :, None].expand_as(means)
        each = gaussian_log_density(means, log_scales, values).sum(3)
        return torch.logsumexp(self.log_weights + each, 2)

    def divergence(self, draws: Draws) -> Float[Tensor, "b 1"]:
        """Estimated from the draws: there is no closed form, and it does not fall apart by latent variable."""
        return estimated_divergence(draws)


@final
class MixtureVAE(LatentVariableModel):
    """An encoder to a mixture of Gaussians, a decoder, and a standard normal prior."""

    def __init__(self, config: MixtureVAEConfig, data: DataSpec) -> None:
        super().__init__(config, data, num_statistics=config.num_components * (1 + 2 * config.latent_dim))
        self.config = config
        self.spread_components()

    @torch.no_grad()
    def spread_components(self) -> None:
        """Move the components' initial means apart: equal ones would get equal gradients but for their noise."""
        num, size = self.config.num_components, self.config.latent_dim
        output = self.encoder[-1]
        assert isinstance(output, nn.Linear)
        output.bias[num : num * (1 + size)] += 0.5 * torch.randn(num * size)

    def posterior(self, targets: Float[Tensor, "b c h w"]) -> GaussianMixture:
        """Weights, means and log-variances by the encoder."""
        num, size = self.config.num_components, self.config.latent_dim
        logits, means, log_variances = self.statistics(targets).tensor_split([num, num * (1 + size)], dim=1)
        shape = (-1, num, size)
        return GaussianMixture(logits.log_softmax(1), means.reshape(shape), log_variances.reshape(shape))

    def objective(
        self, targets: Float[Tensor, "b c h w"], moment: Moment
    ) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """A negative stratified bound from draws of each component; also how many components are in use."""
        posterior, num_draws = self.posterior(targets), self.config.training_samples
        weights = posterior.log_weights.detach().exp()
        metrics = {
            "active_units": self.active_units(posterior),
            "components_in_use": (1.0 / weights.square().sum(1)).mean(),
        }
        if self.config.objective == "importance-weighted":
            return -self.importance_weighted_bound(targets, posterior, num_draws).mean(), metrics
        terms = self.bound_terms(targets, posterior, num_draws)
        return self.weighted_bound(terms, self.config, moment), {**terms.metrics, **metrics}
