"""Approximate posteriors: how latents are drawn, how probable the draws are, how far they stray from the prior."""

import math
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from gen_dist.losses.likelihood import gaussian_log_density, standard_normal_log_density

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, arXiv:1509.00519, Sec. 5.2


@dataclass(frozen=True, slots=True)
class Draws:
    """Latents of each image, drawn so that their weighted sums are unbiased.

    Attributes:
        latents: what was drawn.
        log_density: log q(z given x) in nats, in parts that add up to it: one for each latent variable, or a single
            one where it does not fall apart.
        log_shares: logarithm of each draw's weight. An expectation under q is estimated by the sum over draws of
            share times value; equal shares for plain draws.
    """

    latents: Float[Tensor, "s b z"]
    log_density: Float[Tensor, "s b parts"]
    log_shares: Float[Tensor, "s b"]

    def expectation(self, values: Float[Tensor, "s b"]) -> Float[Tensor, " b"]:
        """The estimate of an expectation under q, from its values at the draws."""
        return (self.log_shares.exp() * values).sum(0)


@runtime_checkable
class Posterior(Protocol):
    """q(z given x) for each image of a batch."""

    @property
    def centre(self) -> Float[Tensor, "b z"]:
        """One point that stands for the distribution: its mean where that has a closed form."""
        ...

    def draw(self, num: int) -> Draws:
        """`num` reparameterised draws, from torch's global generator (of each stratum, if there are several)."""
        ...

    def divergence(self, draws: Draws) -> Float[Tensor, "b parts"]:
        """KL(q(z given x) || p(z)) in nats, in parts that add up to it: in closed form, or estimated from draws."""
        ...


@final
class DiagonalGaussian:
    """N(mean, diag(exp(log_variance))), against a standard normal prior."""

    def __init__(self, mean: Float[Tensor, "b z"], log_variance: Float[Tensor, "b z"]) -> None:
        self.mean, self.log_variance = mean, log_variance

    @property
    def centre(self) -> Float[Tensor, "b z"]:
        """The mean."""
        return self.mean

    def draw(self, num: int) -> Draws:
        """Draws mean + sigma * epsilon (arXiv:1312.6114, Eq. 4)."""
        mean, log_scale = (t.expand(num, *t.shape) for t in (self.mean, 0.5 * self.log_variance))
        latents = mean + torch.exp(log_scale) * torch.randn_like(mean)
        return Draws(latents, gaussian_log_density(mean, log_scale, latents), equal_log_shares(latents))

    def divergence(self, draws: Draws) -> Float[Tensor, "b z"]:
        """In closed form for each latent variable (arXiv:1312.6114, Appendix B)."""
        return 0.5 * (self.log_variance.exp() + self.mean.square() - 1.0 - self.log_variance)


def equal_log_shares(latents: Float[Tensor, "s b z"]) -> Float[Tensor, "s b"]:
    """Log-shares of draws that count alike."""
    return torch.full_like(latents[..., 0], -math.log(len(latents)))


def estimated_divergence(draws: Draws) -> Float[Tensor, "b parts"]:
    """KL(q || N(0, I)) estimated by log q - log p at the draws: unbiased, part by part where log q falls apart."""
    log_prior = standard_normal_log_density(draws.latents)
    if draws.log_density.shape != log_prior.shape:
        log_prior = log_prior.sum(2, keepdim=True)
    return (draws.log_shares.exp()[..., None] * (draws.log_density - log_prior)).sum(0)


def num_active_units(centres: Float[Tensor, "b v k"]) -> Float[Tensor, ""]:
    """How many of v latent variables vary with the image: the variance of E(z given x) over images exceeds 0.01.

    Burda et al. 2016, arXiv:1509.00519, Sec. 5.2. A variable of k numbers is active if one of them is.
    """
    varies = centres.detach().var(0, correction=0) > ACTIVE_VARIANCE
    return varies.any(1).sum().to(centres.dtype)
