"""One small model of each family of latent variable models, with every integral over its latents at hand."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Categorical as Choice
from torch.distributions import Independent, MixtureSameFamily, Normal
from vae_cases import DOUBLE, SQUARE

from gen_dist.models.vae.gumbel import Categorical, GumbelVAEConfig
from gen_dist.models.vae.iaf import AutoregressiveStep, FlowPosterior, IAFVAEConfig
from gen_dist.models.vae.iwae import IWAEConfig
from gen_dist.models.vae.latent import LatentVariableModel
from gen_dist.models.vae.mixture_posterior import GaussianMixture, MixtureVAEConfig
from gen_dist.models.vae.posterior import DiagonalGaussian, Posterior
from gen_dist.models.vae.settings import LatentVariableConfig
from gen_dist.models.vae.vae import VAEConfig

SPACING = 0.1  # of the grid; posteriors here have scales of 0.25 or more, so sums over the grid are integrals


def grid(num_axes: int) -> Tensor:
    """Points on [-9, 9] along each axis."""
    axis = torch.arange(-9.0, 9.0, SPACING, dtype=DOUBLE)
    return torch.cartesian_prod(*[axis] * num_axes).reshape(-1, num_axes)


def codes(num_variables: int, num_categories: int) -> Tensor:
    """All one-hot codes of categorical variables."""
    identity = torch.eye(num_categories, dtype=DOUBLE)
    return torch.stack(
        [identity[list(c)].flatten() for c in itertools.product(range(num_categories), repeat=num_variables)]
    )


@dataclass(frozen=True)
class Case:
    """A configuration, all its latents, and the logarithm of the volume that each stands for."""

    name: str
    config: LatentVariableConfig
    latents: Callable[[], Tensor]
    log_volume: float

    def model(self, seed: int = 0) -> LatentVariableModel:
        """Random weights, larger than fresh ones: latents matter, and posteriors are not the prior."""
        torch.manual_seed(seed)
        model = self.config.build(SQUARE).double()
        assert isinstance(model, LatentVariableModel)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.8)
        return model


PLANE: tuple[Callable[[], Tensor], float] = (lambda: grid(2), 2 * math.log(SPACING))
LINE: tuple[Callable[[], Tensor], float] = (lambda: grid(1), math.log(SPACING))
SMALL = {"decoder": "bernoulli", "hidden": (6,), "latent_dim": 2}
CASES = (
    Case("vae", VAEConfig(**SMALL), *PLANE),
    Case("iwae", IWAEConfig(**SMALL), *PLANE),
    Case("vae-mixture", MixtureVAEConfig(**SMALL, num_components=3), *PLANE),
    Case("vae-mixture, one latent", MixtureVAEConfig(**SMALL | {"latent_dim": 1}, num_components=2), *LINE),
    Case("vae-iaf", IAFVAEConfig(**SMALL, num_steps=2, step_width=5, context_dim=3), *PLANE),
    Case("vae-iaf, one latent", IAFVAEConfig(**SMALL | {"latent_dim": 1}, num_steps=1, step_width=4), *LINE),
    Case("gumbel-vae", GumbelVAEConfig(**SMALL, num_categories=3), lambda: codes(2, 3), 0.0),
)


def inverse(posterior: FlowPosterior, latents: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """Where image `index` has its latents from before the flow, variable after variable, and the log-determinant."""
    context = posterior.context[index].expand(len(latents), -1)
    log_determinant = torch.zeros(len(latents), dtype=DOUBLE)
    for step in reversed(posterior.steps):
        before = latents
        for _ in range(latents.shape[1]):  # each pass settles at least one more variable, whatever their order
            moved, log_slope = step(before, context)
            shifted = moved - log_slope.exp() * before  # depends on earlier variables alone
            before = (latents - shifted) / log_slope.exp()
        log_determinant = log_determinant + step(before, context)[1].sum(1)
        latents = before
    return latents, log_determinant


def reference_log_density(posterior: Posterior, latents: Tensor, index: int) -> Tensor:
    """Log q(z given image `index`), by torch.distributions and by inverting the flow."""
    match posterior:
        case DiagonalGaussian():
            normal = Normal(posterior.mean[index], (0.5 * posterior.log_variance[index]).exp())
            return normal.log_prob(latents).sum(1)
        case GaussianMixture():
            components = Normal(posterior.means[index], (0.5 * posterior.log_variances[index]).exp())
            choice = Choice(logits=posterior.log_weights[index])
            return MixtureSameFamily(choice, Independent(components, 1)).log_prob(latents)
        case FlowPosterior():
            start, log_determinant = inverse(posterior, latents, index)
            normal = Normal(posterior.mean[index], (0.5 * posterior.log_variance[index]).exp())
            return normal.log_prob(start).sum(1) - log_determinant
        case Categorical():
            return latents @ posterior.log_probability[index].flatten()
    raise NotImplementedError(f"say here how probable latents are under a {type(posterior).__name__}")


def random_step(num: int, *, reverse: bool) -> AutoregressiveStep:
    """A step whose network has large weights."""
    step = AutoregressiveStep(num, 16, 3, reverse=reverse).double()
    with torch.no_grad():
        for parameter in step.parameters():
            parameter.mul_(3.0)
    return step
