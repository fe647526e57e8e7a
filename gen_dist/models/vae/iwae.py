"""Importance-weighted autoencoder: a VAE that is trained on a tighter bound, from several draws per image.

Paper: Y. Burda, R. Grosse, R. Salakhutdinov (2016), Importance Weighted Autoencoders, arXiv:1509.00519.

Departures: one stochastic layer (the paper also has two), and the networks and decoders of `gen_dist.models.vae.vae`.
The gradient is the paper's own: that of the bound at reparameterised draws.

| symbol | name here |
|---|---|
| k | `training_samples` |
| w_i = p(x, h_i) / q(h_i given x) | exp of `log_importance_weights` |
| L_k, the bound (Sec. 3) | `importance_weighted_bound` |
| A_u, the activity statistic (Sec. 5.2) | counted by `active_units` |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.models.vae.latent import LatentVariableModel
from gen_dist.models.vae.posterior import DiagonalGaussian
from gen_dist.models.vae.settings import LatentVariableConfig
from gen_dist.types import DataSpec, Moment

PAPER = Paper(
    title="Importance Weighted Autoencoders",
    authors="Y. Burda, R. Grosse, R. Salakhutdinov",
    year=2016,
    arxiv="1509.00519",
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class IWAEConfig(LatentVariableConfig):
    """Settings of the autoencoder.

    Attributes:
        training_samples: latent draws per image in training (k in the paper); 1 is a VAE whose divergence is estimated.
    """

    training_samples: int = 5

    def __post_init__(self) -> None:
        LatentVariableConfig.__post_init__(self)
        check_at_least_one(self, "training_samples")

    def build(self, data: DataSpec) -> "IWAE":
        """A freshly initialised autoencoder of such data."""
        return IWAE(self, data)


@final
class IWAE(LatentVariableModel):
    """An encoder to a diagonal Gaussian, which proposes latents, a decoder, and a standard normal prior."""

    def __init__(self, config: IWAEConfig, data: DataSpec) -> None:
        super().__init__(config, data, num_statistics=2 * config.latent_dim)
        self.config = config

    def posterior(self, targets: Float[Tensor, "b c h w"]) -> DiagonalGaussian:
        """A diagonal Gaussian, its mean and log-variance by the encoder."""
        mean, log_variance = self.statistics(targets).chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance)

    def objective(
        self, targets: Float[Tensor, "b c h w"], moment: Moment
    ) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """The negative importance-weighted bound of k draws; also how many of them count, 1 to k."""
        posterior = self.posterior(targets)
        draws = posterior.draw(self.config.training_samples)
        log_weights = self.log_importance_weights(targets, draws)
        bound = torch.logsumexp(log_weights + draws.log_shares, 0)
        effective = 1.0 / log_weights.detach().softmax(0).square().sum(0)
        metrics = {
            "divergence": posterior.divergence(draws).detach().sum(1).mean(),
            "effective_draws": effective.mean(),
            "active_units": self.active_units(posterior),
        }
        return -bound.mean(), metrics
