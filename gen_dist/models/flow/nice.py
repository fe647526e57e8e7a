"""NICE: additive coupling layers of dense networks and one scaling turn images into independent logistic variables.

Paper: L. Dinh, D. Krueger, Y. Bengio (2014), NICE: Non-linear Independent Components Estimation, arXiv:1410.8516.

Departures: the paper models pixels on a linear scale (whitened where they are colour photographs), here `pixel_scale`
chooses between that without whitening and logits; the scaling starts from data and has a shift beside it, which adds
nothing that the last biases could not learn; Adam with its usual betas. Networks start so that couplings are close to
the identity.

| symbol | name here |
|---|---|
| f(x), h (Sec. 2) | `transform`, latents |
| I1, I2 (Sec. 3.2) | `partition` |
| m (Sec. 3.2) | networks of `couplings` |
| S (Sec. 3.3) | `exp(log_scale)` |
| p_H (Sec. 3.4) | `prior` |
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.losses.likelihood import sample_logistic
from gen_dist.models.flow.flow import Flow, PixelScale
from gen_dist.models.paper import Paper
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

PAPER = Paper(
    title="NICE: Non-linear Independent Components Estimation",
    authors="L. Dinh, D. Krueger, Y. Bengio",
    year=2014,
    arxiv="1410.8516",
)

_OPTIMIZER = Adam(learning_rate=1e-3)
_INITIAL_STD = 1e-3  # of a network's last layer: close to the identity, and yet every weight learns at once
_MIN_VARIANCE = 1e-6  # of a value in one batch; dequantisation noise on the linear scale has 5e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class NICEConfig:
    """Settings of the flow.

    Attributes:
        num_couplings: coupling layers; from 3 on every value can depend on every other.
        hidden: units of each hidden layer.
        hidden_layers: hidden layers of each coupling's network.
        partition: the two parts that take turns: values at "odd-even" positions, or the "halves" of an image.
        prior: of the latents, "logistic" or "gaussian".
        pixel_scale: "logit", or "linear" for pixels scaled to [-1, 1] as in the paper.
        alpha: images are squeezed into [alpha, 1 - alpha] before the logit.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    num_couplings: int = 4
    hidden: int = 1000
    hidden_layers: int = 5
    partition: Literal["odd-even", "halves"] = "odd-even"
    prior: Literal["logistic", "gaussian"] = "logistic"
    pixel_scale: PixelScale = "logit"
    alpha: float = 0.05
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("num_couplings", 2), ("hidden", 1), ("hidden_layers", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least {least}")
        if not 0.0 < self.alpha < 0.5:
            raise ValueError(f"model.alpha is {self.alpha}: it must lie between 0 and 0.5")

    def build(self, data: DataSpec) -> "NICE":
        """A freshly initialised flow on such images; ValueError when there are no two parts to couple."""
        if data.num_dimensions < 2:
            raise ValueError("images have a single value: NICE couples two parts, so there must be at least 2")
        return NICE(self, data)


@final
class NICE(Flow):
    """Couplings that add to one part of the values a function of the other, then a scaling of each value."""

    def __init__(self, config: NICEConfig, data: DataSpec) -> None:
        super().__init__(config, data, pixel_scale=config.pixel_scale)
        self.config = config
        num = data.num_dimensions
        sizes = (num - num // 2, num // 2)
        self.couplings = nn.ModuleList(
            _network(sizes[index % 2], sizes[1 - index % 2], config) for index in range(config.num_couplings)
        )
        self.shift = nn.Parameter(torch.zeros(num))
        self.log_scale = nn.Parameter(torch.zeros(num))

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Start the scaling from the batch: every latent has mean 0 and variance 1."""
        coupled = self._couple(self.to_inputs(self.dequantise(batch.images))[0])
        variance, mean = torch.var_mean(coupled, dim=0, correction=0)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-0.5 * torch.log(variance.clamp_min(_MIN_VARIANCE)))

    def transform(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, " b"]]:
        """Latents, those of the first part first, and the log-determinant: only the scaling changes volume."""
        latents = (self._couple(values) + self.shift) * torch.exp(self.log_scale)
        return latents, self.log_scale.sum().expand(len(values))

    def inverse(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """The values that `transform` maps to these latents: couplings are undone by subtraction (Sec. 3.2)."""
        parts = self._halves(latents * torch.exp(-self.log_scale) - self.shift)
        for index in reversed(range(len(self.couplings))):
            moving = 1 - index % 2
            parts[moving] = parts[moving] - self._added(index, parts[1 - moving])
        if self.config.partition == "halves":
            return torch.cat(parts, dim=1).reshape(-1, *self.data.shape)
        values = torch.empty_like(latents)
        values[:, 0::2], values[:, 1::2] = parts
        return values.reshape(-1, *self.data.shape)

    def latent_log_density(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, " b"]:
        """Log-density of the factorial prior (Sec. 3.4): log p(h) = -log(1 + exp(h)) - log(1 + exp(-h)) if logistic."""
        if self.config.prior == "gaussian":
            return super().latent_log_density(latents)
        return -(F.softplus(latents) + F.softplus(-latents)).sum(1)

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Draws from the prior."""
        if self.config.prior == "gaussian":
            return super().draw_latents(num)
        zeros = self.origin.new_zeros(num, self.data.num_dimensions)
        return sample_logistic(zeros, zeros)

    def _couple(self, values: Tensor) -> Tensor:
        """All couplings (Sec. 3.2), the two parts one after the other."""
        flat = values.flatten(1)
        parts = self._halves(flat) if self.config.partition == "halves" else [flat[:, 0::2], flat[:, 1::2]]
        for index in range(len(self.couplings)):
            moving = 1 - index % 2
            parts[moving] = parts[moving] + self._added(index, parts[1 - moving])
        return torch.cat(parts, dim=1)

    def _halves(self, flat: Tensor) -> list[Tensor]:
        first = flat.shape[1] - flat.shape[1] // 2
        return [flat[:, :first], flat[:, first:]]

    def _added(self, index: int, given: Tensor) -> Tensor:
        added: Tensor = self.couplings[index](given)
        return added.to(given.dtype)


def _network(num_inputs: int, num_outputs: int, config: NICEConfig) -> nn.Sequential:
    """A dense network with ReLU (Sec. 5.1)."""
    widths = [num_inputs, *[config.hidden] * config.hidden_layers]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        linear = nn.Linear(before, after)
        nn.init.normal_(linear.weight, std=math.sqrt(2.0 / before))
        layers += [linear, nn.ReLU()]
    last = nn.Linear(widths[-1], num_outputs)
    for parameter in last.parameters():
        nn.init.normal_(parameter, std=_INITIAL_STD)
    return nn.Sequential(*layers, last)
