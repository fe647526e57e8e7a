"""Restricted Boltzmann machine: a bipartite energy model of binary images, trained by contrastive divergence.

Papers: P. Smolensky (1986), Information processing in dynamical systems: foundations of harmony theory;
G. E. Hinton (2002), Training products of experts by minimizing contrastive divergence; persistent chains:
T. Tieleman (2008); log Z by annealed importance sampling: R. Salakhutdinov, I. Murray (2008).

Departures: visible biases start at the data's log-odds (Hinton 2010, A practical guide); samples come from annealed
instead of plain Gibbs chains, since a plain chain hardly changes its digit.

| symbol | name here |
|---|---|
| E(v, h) = -v'Wh - b'v - c'h | the energy; W `weight`, b `visible_bias`, c `hidden_bias` |
| F(v) = -log of the sum over h of exp(-E(v, h)) | `free_energy` |
| k in CD-k | `gibbs_steps` |
| Z | `log_partition` |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Gradient, Phase, Player, Signal
from gen_dist.models.boltzmann.annealing import annealed_log_partition
from gen_dist.models.boltzmann.machine import BoltzmannMachine, log_odds
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.optimization import CONSTANT, SGD, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_unit, to_unit

PAPER = Paper(
    title="Training products of experts by minimizing contrastive divergence", authors="G. E. Hinton", year=2002
)

_OPTIMIZER = SGD(learning_rate=0.05)


@dataclass(frozen=True, kw_only=True, slots=True)
class RBMConfig:
    """Settings of the machine.

    Attributes:
        num_hidden: binary hidden units.
        gibbs_steps: steps of each chain per update (k of CD-k).
        persistent: chains go on from where the last update left them instead of starting at the data.
        binarisation: training images are thresholded at 128, or drawn with their grey value as probability.
        sample_steps: annealed Gibbs steps from independent pixels to a sample.
        partition_steps: temperatures of the annealed importance sampling of log Z.
        partition_chains: its independent chains; they give the standard error.
        pixel_noise: whether samples are binary draws, or the probabilities of the last step as grey values.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    num_hidden: int = 128
    gibbs_steps: int = 1
    persistent: bool = True
    binarisation: Literal["threshold", "probability"] = "threshold"
    sample_steps: int = 1000
    partition_steps: int = 1000
    partition_chains: int = 128
    pixel_noise: bool = False
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "num_hidden", "gibbs_steps", "sample_steps", "partition_steps")
        if self.partition_chains < 2:
            raise ValueError(f"model.partition_chains is {self.partition_chains}: a standard error needs at least 2")

    def build(self, data: DataSpec) -> "RBM":
        """A freshly initialised machine over such images."""
        return RBM(self, data)


@final
class RBM(BoltzmannMachine):
    """Visible units are the values of a binary image, hidden units are binary."""

    def __init__(self, config: RBMConfig, data: DataSpec) -> None:
        super().__init__(data)
        self.config = config
        self.weight = nn.Parameter(0.01 * torch.randn(data.num_dimensions, config.num_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(data.num_dimensions))
        self.hidden_bias = nn.Parameter(torch.zeros(config.num_hidden))

    @property
    def players(self) -> Mapping[str, Player]:
        """All weights and biases are one player, "rbm"."""
        config = self.config
        return {
            "rbm": Player(module=self, optimizer=config.optimizer, schedule=config.schedule, ema_decay=config.ema_decay)
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "contrastive-divergence"."""
        return (Phase(name="contrastive-divergence", player="rbm", signal=self.contrastive_divergence),)

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Start the visible biases at the log-odds of each pixel in the batch."""
        self.base_bias.copy_(log_odds(self.visible(batch.images)))
        self.visible_bias.copy_(self.base_bias)

    @torch.no_grad()
    def contrastive_divergence(self, batch: ImageBatch, context: Context) -> Signal:
        """The gradient of the free energy of the data minus that of the chains; metrics tell both apart."""
        # A small difference of two large averages: in bfloat16 little of it would be left.
        with torch.autocast(batch.images.device.type, enabled=False):
            data = self.visible(batch.images)
            if self.config.binarisation == "probability":
                data = to_unit(batch.images, self.weight.dtype).flatten(1).bernoulli()
            chain = context.memory.get("chain", data) if self.config.persistent else data
            for _ in range(self.config.gibbs_steps):
                chain = self.gibbs_step(chain)
            if self.config.persistent:
                context.memory["chain"] = chain
            rebuilt = self.visible_probability(self.hidden_probability(data))
            metrics = {
                "loss": self.free_energy(data).mean() - self.free_energy(chain).mean(),
                "reconstruction_error": (rebuilt - data).square().mean(),
            }
            positive, negative = self.free_energy_gradient(data), self.free_energy_gradient(chain)
        return Gradient({parameter: positive[parameter] - negative[parameter] for parameter in positive}, metrics)

    def log_unnormalised(self, visible: Float[Tensor, "b v"]) -> Float[Tensor, " b"]:
        """Minus the free energy."""
        return -self.free_energy(visible)

    def free_energy(self, visible: Float[Tensor, "b v"]) -> Float[Tensor, " b"]:
        """F(v), for which p(v) = exp(-F(v)) / Z."""
        return -visible @ self.visible_bias - F.softplus(self._hidden_input(visible)).sum(1)

    def free_energy_gradient(self, visible: Float[Tensor, "b v"]) -> dict[nn.Parameter, Tensor]:
        """Gradient of the mean free energy by parameter, in closed form."""
        hidden = self.hidden_probability(visible)
        return {
            self.weight: -visible.T @ hidden / len(visible),
            self.visible_bias: -visible.mean(0),
            self.hidden_bias: -hidden.mean(0),
        }

    def hidden_probability(self, visible: Float[Tensor, "b v"]) -> Float[Tensor, "b k"]:
        """p(h = 1 given v)."""
        return torch.sigmoid(self._hidden_input(visible))

    def visible_probability(self, hidden: Float[Tensor, "b k"]) -> Float[Tensor, "b v"]:
        """p(v = 1 given h)."""
        return torch.sigmoid(self._visible_input(hidden))

    def gibbs_step(self, visible: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        """Draw the hidden units given the visible ones, then the visible units given the hidden ones."""
        return self.visible_probability(self.hidden_probability(visible).bernoulli()).bernoulli()

    @torch.no_grad()
    def estimate_log_partition(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Log Z and its standard error by annealed importance sampling (Salakhutdinov and Murray 2008).

        The path runs from independent pixels with the data's frequencies to the machine:

            log p*_beta(v) = ((1 - beta) base_bias + beta visible_bias)'v + sum softplus(beta (W'v + hidden_bias))
        """

        def rise(visible: Tensor, now: float, following: float) -> Tensor:
            inputs, tilt = self._hidden_input(visible), visible @ (self.visible_bias - self.base_bias)
            hidden = F.softplus(following * inputs).sum(1) - F.softplus(now * inputs).sum(1)
            return hidden + (following - now) * tilt

        return annealed_log_partition(
            torch.sigmoid(self.base_bias).expand(self.config.partition_chains, -1).bernoulli(),
            rise=rise,
            move=lambda visible, beta: self._annealed_probability(visible, beta, temperature=1.0).bernoulli(),
            num_steps=self.config.partition_steps,
            log_base=F.softplus(self.base_bias).sum() + self.config.num_hidden * math.log(2.0),
        )

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Gibbs chains annealed from independent pixels to the machine; energies are divided by `temperature`."""
        if condition is not None:
            raise ValueError("a condition was given: this RBM is unconditional")
        probability = torch.sigmoid(self.base_bias).expand(num, -1)
        for step in range(self.config.sample_steps):
            beta = (step + 1) / self.config.sample_steps
            probability = self._annealed_probability(probability.bernoulli(), beta, temperature)
        values = probability.bernoulli() if self.config.pixel_noise else probability
        return from_unit(values).reshape(num, *self.data.shape)

    def _annealed_probability(
        self, visible: Float[Tensor, "b v"], beta: float, temperature: float
    ) -> Float[Tensor, "b v"]:
        """p(v = 1 given h) after h was drawn given `visible`, at position `beta` of the path."""
        sharpness = beta / temperature
        hidden = torch.sigmoid(sharpness * self._hidden_input(visible)).bernoulli()
        return torch.sigmoid((1.0 - beta) * self.base_bias + sharpness * self._visible_input(hidden))

    def _hidden_input(self, visible: Float[Tensor, "b v"]) -> Float[Tensor, "b k"]:
        return visible @ self.weight + self.hidden_bias

    def _visible_input(self, hidden: Float[Tensor, "b k"]) -> Float[Tensor, "b v"]:
        return hidden @ self.weight.T + self.visible_bias
