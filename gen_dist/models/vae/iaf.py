"""VAE whose posterior is bent by an inverse autoregressive flow: latents may depend on one another.

Paper: D. P. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever, M. Welling (2016), Improving Variational
Inference with Inverse Autoregressive Flow, arXiv:1606.04934.

Each step moves every latent variable by an amount that depends on those before it, so the Jacobian is triangular and
its determinant is the product of the gates. All variables move at once: only going backwards would be slow, and
neither training nor scoring goes backwards.

Departures: one stochastic layer with fully connected steps (the paper's MNIST experiments), not the ladder of
convolutional ones; SiLU; a step turns its order of variables around instead of the variables.

| symbol | name here |
|---|---|
| mu_0, sigma_0, h (Algorithm 1) | `mean`, `log_variance`, `context` |
| AutoregressiveNN(z, h) | `AutoregressiveStep` |
| m, s, sigma = sigmoid(s) (Eq. 13) | what a step's network gives |
| T | `num_steps` |
| lambda, free bits | `free_bits` |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.losses.likelihood import gaussian_log_density
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.models.vae.latent import LatentVariableModel
from gen_dist.models.vae.posterior import Draws, equal_log_shares, estimated_divergence
from gen_dist.models.vae.settings import WeightedBoundConfig
from gen_dist.types import DataSpec, Moment

PAPER = Paper(
    title="Improving Variational Inference with Inverse Autoregressive Flow",
    authors="D. P. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever, M. Welling",
    year=2016,
    arxiv="1606.04934",
)

OPEN_GATE = 2.0  # added to s: sigma starts near 0.9, so a fresh step changes little (the paper starts s at 1 or 2)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class IAFVAEConfig(WeightedBoundConfig):
    """Settings of the autoencoder.

    Attributes:
        num_steps: steps of the flow (T in the paper); 0 is a plain VAE whose divergence is estimated.
        step_width: hidden units of each step's network.
        context_dim: numbers that the encoder tells every step about the image (h in the paper).
    """

    num_steps: int = 2
    step_width: int = 128
    context_dim: int = 32

    def __post_init__(self) -> None:
        WeightedBoundConfig.__post_init__(self)
        if self.num_steps < 0:
            raise ValueError(f"model.num_steps is {self.num_steps}: it must be 0 or more")
        check_at_least_one(self, "step_width", "context_dim")

    def build(self, data: DataSpec) -> "IAFVAE":
        """A freshly initialised autoencoder of such data."""
        return IAFVAE(self, data)


@final
class MaskedLinear(nn.Module):
    """A linear layer with some of its weights fixed to 0."""

    def __init__(self, mask: Float[Tensor, "o i"]) -> None:
        super().__init__()
        layer = nn.Linear(mask.shape[1], mask.shape[0])
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("mask", mask, persistent=False)

    mask: Tensor

    def forward(self, values: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        """Multiply by the weights that are left."""
        return F.linear(values, self.weight * self.mask, self.bias)


@final
class AutoregressiveStep(nn.Module):
    """One step: z_i becomes sigma_i z_i + (1 - sigma_i) m_i, where m_i and sigma_i depend on earlier z and on h.

    A hidden unit of degree d sees the first d variables, an output for variable i (from 1) sees units of degree below
    i. With 3 variables and hidden units of degree 0, 1, 2:

              z1 z2 z3               d0 d1 d2
          d0   0  0  0           m1   1  0  0
          d1   1  0  0           m2   1  1  0
          d2   1  1  0           m3   1  1  1

    Args:
        num: of variables.
        width: hidden units.
        context_dim: length of h, which every hidden unit sees.
        reverse: whether the last variable comes first.
    """

    def __init__(self, num: int, width: int, context_dim: int, *, reverse: bool) -> None:
        super().__init__()
        position = torch.arange(1, num + 1)
        if reverse:
            position = position.flip(0)
        degree = torch.arange(width) % num
        self.first = MaskedLinear((degree[:, None] >= position).float())
        self.context = nn.Linear(context_dim, width, bias=False)
        self.last = MaskedLinear((position[:, None] > degree).float().repeat(2, 1))

    def forward(
        self, latents: Float[Tensor, "n z"], context: Float[Tensor, "n h"]
    ) -> tuple[Float[Tensor, "n z"], Float[Tensor, "n z"]]:
        """Moved latents and log sigma, the logarithm of each variable's slope (Eq. 13 and 14)."""
        outputs = self.last(F.silu(self.first(latents) + self.context(context))).to(latents.dtype)
        shift, gate = outputs.chunk(2, dim=1)
        log_slope = F.logsigmoid(gate + OPEN_GATE)
        slope = log_slope.exp()
        return slope * latents + (1.0 - slope) * shift, log_slope


@final
class FlowPosterior:
    """A diagonal Gaussian and the steps that its draws go through, against a standard normal prior."""

    def __init__(
        self,
        mean: Float[Tensor, "b z"],
        log_variance: Float[Tensor, "b z"],
        context: Float[Tensor, "b h"],
        steps: Sequence[AutoregressiveStep],
    ) -> None:
        self.mean, self.log_variance, self.context, self.steps = mean, log_variance, context, steps

    @property
    def centre(self) -> Float[Tensor, "b z"]:
        """Where the flow takes the Gaussian's mean; the mean of the bent distribution has no closed form."""
        return self.transform(self.mean[None])[0][0]

    def transform(self, latents: Float[Tensor, "s b z"]) -> tuple[Float[Tensor, "s b z"], Float[Tensor, "s b z"]]:
        """Where the steps take latents, and the log-determinant of the Jacobian, variable by variable."""
        num = latents.shape[0]
        moved = latents.flatten(0, 1)
        context = self.context.expand(num, *self.context.shape).flatten(0, 1)
        log_determinant = torch.zeros_like(moved)
        for step in self.steps:
            moved, log_slope = step(moved, context)
            log_determinant = log_determinant + log_slope
        return moved.reshape(latents.shape), log_determinant.reshape(latents.shape)

    def draw(self, num: int) -> Draws:
        """Draws from the Gaussian, moved by the steps (Algorithm 1)."""
        mean, log_scale = (t.expand(num, *t.shape) for t in (self.mean, 0.5 * self.log_variance))
        start = mean + torch.exp(log_scale) * torch.randn_like(mean)
        latents, log_determinant = self.transform(start)
        log_density = gaussian_log_density(mean, log_scale, start) - log_determinant
        return Draws(latents, log_density, equal_log_shares(latents))

    def divergence(self, draws: Draws) -> Float[Tensor, "b z"]:
        """Estimated from the draws, variable by variable."""
        return estimated_divergence(draws)


@final
class IAFVAE(LatentVariableModel):
    """An encoder to a Gaussian and a context, a flow from there, a decoder, and a standard normal prior."""

    def __init__(self, config: IAFVAEConfig, data: DataSpec) -> None:
        size = config.latent_dim
        super().__init__(config, data, num_statistics=2 * size + (config.context_dim if config.num_steps else 0))
        self.config = config
        self.steps = nn.ModuleList(
            AutoregressiveStep(size, config.step_width, config.context_dim, reverse=index % 2 == 1)
            for index in range(config.num_steps)
        )

    def posterior(self, targets: Float[Tensor, "b c h w"]) -> FlowPosterior:
        """Mean, log-variance and context by the encoder."""
        size = self.config.latent_dim
        statistics = self.statistics(targets)
        mean, log_variance, context = statistics.tensor_split([size, 2 * size], dim=1)
        steps = [step for step in self.steps if isinstance(step, AutoregressiveStep)]
        return FlowPosterior(mean, log_variance, context, steps)

    def objective(
        self, targets: Float[Tensor, "b c h w"], moment: Moment
    ) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """The negative bound from one draw, with the weight of the divergence at the moment."""
        posterior = self.posterior(targets)
        terms = self.bound_terms(targets, posterior)
        metrics = {**terms.metrics, "active_units": self.active_units(posterior)}
        return self.weighted_bound(terms, self.config, moment), metrics
