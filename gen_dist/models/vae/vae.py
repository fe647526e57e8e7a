"""Variational autoencoder: encoder and decoder trained together on a lower bound of the log-likelihood.

Paper: D. P. Kingma, M. Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114.

Departures: convolutional networks besides the paper's fully connected ones, SiLU, a discretised logistic decoder
(Salimans et al. 2017, arXiv:1701.05517) for 8-bit images, a factor beta on the divergence (Higgins et al. 2017) that
may rise from 0 (Bowman et al. 2016, arXiv:1511.06349), free bits (Kingma et al. 2016, arXiv:1606.04934), and the
importance-weighted bound (Burda et al. 2016, arXiv:1509.00519) as an option when images are scored.

| symbol | name here |
|---|---|
| q(z given x) = N(mu, sigma^2 I) | `posterior`: mean and log-variance |
| p(x given z) | `log_likelihood` of targets under the decoder |
| L, the bound (Eq. 3) | reconstruction - divergence |
| epsilon (Eq. 4) | the noise in `DiagonalGaussian.draw` |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from gen_dist.models.paper import Paper
from gen_dist.models.vae.latent import LatentVariableModel
from gen_dist.models.vae.posterior import DiagonalGaussian
from gen_dist.models.vae.settings import WeightedBoundConfig
from gen_dist.types import DataSpec, Moment

PAPER = Paper(title="Auto-Encoding Variational Bayes", authors="D. P. Kingma, M. Welling", year=2014, arxiv="1312.6114")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class VAEConfig(WeightedBoundConfig):
    """Settings of the autoencoder."""

    def build(self, data: DataSpec) -> "VAE":
        """A freshly initialised autoencoder of such data."""
        return VAE(self, data)


@final
class VAE(LatentVariableModel):
    """An encoder to a diagonal Gaussian, a decoder from it, and a standard normal prior."""

    def __init__(self, config: VAEConfig, data: DataSpec) -> None:
        super().__init__(config, data, num_statistics=2 * config.latent_dim)
        self.config = config

    def posterior(self, targets: Float[Tensor, "b c h w"]) -> DiagonalGaussian:
        """A diagonal Gaussian, its mean and log-variance by the encoder."""
        mean, log_variance = self.statistics(targets).chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance)

    def objective(
        self, targets: Float[Tensor, "b c h w"], moment: Moment
    ) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """The negative bound from one draw (Eq. 7), with the weight of the divergence at the moment."""
        posterior = self.posterior(targets)
        terms = self.bound_terms(targets, posterior)
        metrics = {**terms.metrics, "active_units": self.active_units(posterior)}
        return self.weighted_bound(terms, self.config, moment), metrics
