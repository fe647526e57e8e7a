"""VAE with categorical latents: draws of a category are relaxed into points of a simplex to let gradients through.

Paper: E. Jang, S. Gu, B. Poole (2017), Categorical Reparameterization with Gumbel-Softmax, arXiv:1611.01144.
The same relaxation: C. J. Maddison et al. (2017), The Concrete Distribution, arXiv:1611.00712.

The relaxed model is for training alone. What is scored and sampled is the discrete model: latents are drawn as
categories, and the divergence is that of categorical distributions, in closed form.

Departures: the temperature falls geometrically to its final value over a number of images, and is a function of the
clock alone (the paper: exp(-r t), updated every so many steps, down to 0.5); the networks and decoders are those of
`gen_dist.models.vae.vae`.

| symbol | name here |
|---|---|
| pi, class probabilities | exp of `log_probability` of `Categorical` |
| tau | `temperature` |
| y (Eq. 2) | `Categorical.relaxed` |
| ST Gumbel-softmax (Sec. 2.2) | `straight_through` |
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gen_dist.models.paper import Paper
from gen_dist.models.vae.latent import BoundTerms, LatentVariableModel
from gen_dist.models.vae.posterior import Draws, equal_log_shares
from gen_dist.models.vae.settings import WeightedBoundConfig
from gen_dist.types import DataSpec, Moment

PAPER = Paper(
    title="Categorical Reparameterization with Gumbel-Softmax",
    authors="E. Jang, S. Gu, B. Poole",
    year=2017,
    arxiv="1611.01144",
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class GumbelVAEConfig(WeightedBoundConfig):
    """Settings of the autoencoder; `latent_dim` counts categorical variables.

    Attributes:
        num_categories: of each latent variable.
        initial_temperature: of the relaxation, at the start.
        final_temperature: from `anneal_images` on.
        anneal_images: training images over which the temperature falls; 0 for the final temperature throughout.
        straight_through: whether the decoder sees categories in training, with the gradient of the relaxed draws.
    """

    num_categories: int = 8
    initial_temperature: float = 1.0
    final_temperature: float = 0.5
    anneal_images: int = 0
    straight_through: bool = False

    def __post_init__(self) -> None:
        WeightedBoundConfig.__post_init__(self)
        if self.num_categories < 2:
            raise ValueError(f"model.num_categories is {self.num_categories}: it must be at least 2")
        for name, value in (
            ("initial_temperature", self.initial_temperature),
            ("final_temperature", self.final_temperature),
        ):
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"model.{name} is {value}: it must be a positive, finite number")
        if self.anneal_images < 0:
            raise ValueError(f"model.anneal_images is {self.anneal_images}: it must be 0 or more")

    def temperature(self, moment: Moment) -> float:
        """The relaxation's temperature at a moment."""
        position = min(1.0, moment.samples_seen / self.anneal_images) if self.anneal_images else 1.0
        return float(self.initial_temperature ** (1.0 - position) * self.final_temperature**position)

    def build(self, data: DataSpec) -> "GumbelVAE":
        """A freshly initialised autoencoder of such data."""
        return GumbelVAE(self, data)


@final
class Categorical:
    """Independent categorical variables, against a uniform prior; a latent vector is their one-hot codes in a row."""

    def __init__(self, log_probability: Float[Tensor, "b v k"]) -> None:
        self.log_probability = log_probability

    @property
    def centre(self) -> Float[Tensor, "b z"]:
        """The mean of the one-hot codes: the probabilities."""
        return self.log_probability.exp().flatten(1)

    def draw(self, num: int) -> Draws:
        """Categories, by the Gumbel-max trick (Eq. 1); not differentiable in what is drawn."""
        log_probability = self.log_probability.expand(num, *self.log_probability.shape)
        chosen = (log_probability + gumbel_noise(log_probability)).argmax(3, keepdim=True)
        codes = torch.zeros_like(log_probability).scatter(3, chosen, 1.0).flatten(2)
        return Draws(codes, log_probability.gather(3, chosen)[..., 0], equal_log_shares(codes))

    def relaxed(self, temperature: float, *, straight_through: bool) -> Float[Tensor, "b z"]:
        """Draws from the Gumbel-softmax distribution (Eq. 2)."""
        soft = ((self.log_probability + gumbel_noise(self.log_probability)) / temperature).softmax(2)
        if straight_through:
            hard = F.one_hot(soft.argmax(2), soft.shape[2]).to(soft.dtype)
            soft = hard + soft - soft.detach()
        return soft.flatten(1)

    def divergence(self, draws: Draws) -> Float[Tensor, "b v"]:
        """In closed form, whatever was drawn."""
        return self.divergence_from_uniform()

    def divergence_from_uniform(self) -> Float[Tensor, "b v"]:
        """Log k minus the entropy of each variable."""
        negative_entropy = (self.log_probability.exp() * self.log_probability).sum(2)
        return math.log(self.log_probability.shape[2]) + negative_entropy


@final
class GumbelVAE(LatentVariableModel):
    """An encoder to categorical variables, a decoder from their one-hot codes, and a uniform prior."""

    def __init__(self, config: GumbelVAEConfig, data: DataSpec) -> None:
        num_values = config.latent_dim * config.num_categories
        super().__init__(config, data, num_statistics=num_values, values_per_variable=config.num_categories)
        self.config = config

    def posterior(self, targets: Float[Tensor, "b c h w"]) -> Categorical:
        """Class probabilities by the encoder."""
        logits = self.statistics(targets).reshape(-1, self.config.latent_dim, self.config.num_categories)
        return Categorical(logits.log_softmax(2))

    def log_prior(self, latents: Float[Tensor, "s b z"]) -> Float[Tensor, "s b"]:
        """Each category is as probable as any other."""
        return torch.full_like(latents[..., 0], -self.config.latent_dim * math.log(self.config.num_categories))

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """One-hot codes of uniform draws."""
        size = (num, self.config.latent_dim)
        categories = torch.randint(self.config.num_categories, size, device=self.origin.device)
        return F.one_hot(categories, self.config.num_categories).to(self.origin.dtype).flatten(1)

    def tempered(self, latents: Float[Tensor, "n z"], temperature: float) -> Float[Tensor, "n z"]:
        """The same: a uniform prior is uniform at any temperature."""
        return latents

    def objective(
        self, targets: Float[Tensor, "b c h w"], moment: Moment
    ) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """The negative bound with a relaxed draw in the reconstruction and the categorical divergence."""
        posterior, temperature = self.posterior(targets), self.config.temperature(moment)
        latents = posterior.relaxed(temperature, straight_through=self.config.straight_through)[None]
        reconstruction = self.log_likelihood(targets, latents)[0]
        terms = BoundTerms(reconstruction, posterior.divergence_from_uniform())
        metrics = {
            **terms.metrics,
            "active_units": self.active_units(posterior),
            "temperature": reconstruction.new_full((), temperature),  # filled on the device: a copy would wait for it
        }
        return self.weighted_bound(terms, self.config, moment), metrics


def gumbel_noise(like: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Draws from Gumbel(0, 1), one for each entry."""
    tiny = torch.finfo(like.dtype).tiny
    return -torch.log(-torch.log(torch.rand_like(like).clamp(min=tiny)))
