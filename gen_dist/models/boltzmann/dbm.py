"""Deep Boltzmann machine: two layers of hidden units over binary images, trained by mean field and persistent chains.

Paper: R. Salakhutdinov, G. E. Hinton (2009), Deep Boltzmann Machines, AISTATS, JMLR W&CP 5.

Departures: no greedy pretraining; instead energies are centred (G. Montavon, K.-R. Mueller 2012, Deep Boltzmann
Machines and the Centering Trick); samples come from annealed chains.

| symbol | name here |
|---|---|
| E(v, h1, h2) = -v'W1 h1 - h1'W2 h2, here of centred values and with biases | `minus_energy` |
| mu, of the factorised posterior Q | `mean_field` |
| the bound E_Q[-E] + H(Q) - log Z <= log p(v) | `log_probability` |
| alpha, beta: what is taken off visible and hidden values | `visible_offset`, `hidden_offset` |
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
from gen_dist.models.solo import solo_player
from gen_dist.optimization import CONSTANT, SGD, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_unit, to_unit

PAPER = Paper(title="Deep Boltzmann Machines", authors="R. Salakhutdinov, G. E. Hinton", year=2009)

_OPTIMIZER = SGD(learning_rate=0.02)


@dataclass(frozen=True, kw_only=True, slots=True)
class DBMConfig:
    """Settings of the machine.

    Attributes:
        first_hidden: binary units of the layer next to the image.
        second_hidden: binary units of the layer above it.
        centred: whether the offsets are the data's mean and one half, or 0 as in the paper.
        mean_field_updates: updates of both layers' means for each batch.
        damping: share of a mean's old value that an update keeps.
        gibbs_steps: steps of the persistent chains per update.
        binarisation: training images are thresholded at 128, or drawn with their grey value as probability.
        sample_steps: annealed Gibbs steps from independent pixels to a sample.
        partition_steps: temperatures of the annealed importance sampling of log Z.
        partition_chains: its independent chains; they give the standard error.
        pixel_noise: whether samples are binary draws, or the probabilities of the last step as grey values.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    first_hidden: int = 128
    second_hidden: int = 128
    centred: bool = True
    mean_field_updates: int = 10
    damping: float = 0.0
    gibbs_steps: int = 1
    binarisation: Literal["threshold", "probability"] = "threshold"
    sample_steps: int = 1000
    partition_steps: int = 1000
    partition_chains: int = 128
    pixel_noise: bool = False
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        positive = ("first_hidden", "second_hidden", "mean_field_updates", "gibbs_steps", "sample_steps")
        check_at_least_one(self, *positive, "partition_steps")
        if not 0.0 <= self.damping < 1.0:
            raise ValueError(f"model.damping is {self.damping}: it must lie in [0, 1)")
        if self.partition_chains < 2:
            raise ValueError(f"model.partition_chains is {self.partition_chains}: a standard error needs at least 2")

    def build(self, data: DataSpec) -> "DBM":
        """A freshly initialised machine over such images."""
        return DBM(self, data)


@final
class DBM(BoltzmannMachine):
    """Visible units are the values of a binary image; each hidden layer is binary."""

    def __init__(self, config: DBMConfig, data: DataSpec) -> None:
        super().__init__(data)
        self.config = config
        self.first_weight = nn.Parameter(0.01 * torch.randn(data.num_dimensions, config.first_hidden))
        self.second_weight = nn.Parameter(0.01 * torch.randn(config.first_hidden, config.second_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(data.num_dimensions))
        self.first_bias = nn.Parameter(torch.zeros(config.first_hidden))
        self.second_bias = nn.Parameter(torch.zeros(config.second_hidden))
        # What is taken off each visible value: its mean in the data, or nothing.
        self.visible_offset: Tensor
        self.register_buffer("visible_offset", torch.zeros(data.num_dimensions))

    @property
    def hidden_offset(self) -> float:
        """What is taken off each hidden value: its mean at the start."""
        return 0.5 if self.config.centred else 0.0

    @property
    def players(self) -> Mapping[str, Player]:
        """All weights and biases are one player, "model"."""
        return solo_player(self, self.config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "mean-field"."""
        return (Phase(name="mean-field", player="model", signal=self.bound_gradient),)

    @property
    def preparation_images(self) -> int:
        """Enough for the mean of each pixel."""
        return 10_000

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Start the visible biases at the log-odds of each pixel; they also give the offsets."""
        self.base_bias.copy_(log_odds(self.visible(batch.images)))
        self.visible_bias.copy_(self.base_bias)
        if self.config.centred:
            self.visible_offset.copy_(torch.sigmoid(self.base_bias))

    @torch.no_grad()
    def bound_gradient(self, batch: ImageBatch, context: Context) -> Signal:
        """The gradient of the bound (Sec. 2.2): means on the data, chains instead of the model."""
        # A small difference of two large averages: in bfloat16 little of it would be left.
        with torch.autocast(batch.images.device.type, enabled=False):
            data = self.visible(batch.images)
            if self.config.binarisation == "probability":
                data = to_unit(batch.images, self.first_weight.dtype).flatten(1).bernoulli()
            first, second = self.mean_field(data)
            memory = context.memory
            visible, top = memory.get("visible", data), memory["second"] if "second" in memory else second.bernoulli()
            for _ in range(self.config.gibbs_steps):
                visible, top = self.gibbs_step(visible, top)
            memory["visible"], memory["second"] = visible, top
            rebuilt = torch.sigmoid(self._visible_input(first))
            metrics = {
                "loss": self.variational_free_energy(data, first, second).mean()
                - self.free_energy(visible, top).mean(),
                "reconstruction_error": (rebuilt - data).square().mean(),
            }
            positive = self.energy_gradient(data, first, second)
            negative = self.energy_gradient(visible, torch.sigmoid(self._first_input(visible, top)), top)
        return Gradient({parameter: positive[parameter] - negative[parameter] for parameter in positive}, metrics)

    def mean_field(self, visible: Float[Tensor, "b v"]) -> tuple[Float[Tensor, "b j"], Float[Tensor, "b k"]]:
        """Means of both layers under Q; each damped update of a layer raises the bound."""
        keep = self.config.damping
        second = torch.sigmoid(self.second_bias).expand(len(visible), -1)
        first = torch.sigmoid(self._first_input(visible, second))
        for _ in range(self.config.mean_field_updates):
            second = keep * second + (1.0 - keep) * torch.sigmoid(self._second_input(first))
            first = keep * first + (1.0 - keep) * torch.sigmoid(self._first_input(visible, second))
        return first, second

    def gibbs_step(
        self, visible: Float[Tensor, "b v"], second: Float[Tensor, "b k"]
    ) -> tuple[Float[Tensor, "b v"], Float[Tensor, "b k"]]:
        """Draw the first hidden layer given its two neighbours, then both given it."""
        return self._draw_neighbours(self._draw_first(visible, second))

    def minus_energy(
        self, visible: Float[Tensor, "b v"], first: Float[Tensor, "b j"], second: Float[Tensor, "b k"]
    ) -> Float[Tensor, " b"]:
        """-E, of which p(v, h1, h2) is the exponential over Z; its mean under Q, when given the means."""
        below = (visible - self.visible_offset) @ self.first_weight
        above = (second - self.hidden_offset) @ self.second_weight.T
        pairs = ((below + above) * (first - self.hidden_offset)).sum(1)
        return pairs + visible @ self.visible_bias + first @ self.first_bias + second @ self.second_bias

    def energy_gradient(
        self, visible: Float[Tensor, "b v"], first: Float[Tensor, "b j"], second: Float[Tensor, "b k"]
    ) -> dict[nn.Parameter, Tensor]:
        """Gradient of the mean energy by parameter, in closed form."""
        centred = first - self.hidden_offset
        return {
            self.first_weight: -(visible - self.visible_offset).T @ centred / len(visible),
            self.second_weight: -centred.T @ (second - self.hidden_offset) / len(visible),
            self.visible_bias: -visible.mean(0),
            self.first_bias: -first.mean(0),
            self.second_bias: -second.mean(0),
        }

    def variational_free_energy(
        self, visible: Float[Tensor, "b v"], first: Float[Tensor, "b j"], second: Float[Tensor, "b k"]
    ) -> Float[Tensor, " b"]:
        """Mean energy under Q minus the entropy of Q; at least -log of the sum over h1, h2 of exp(-E)."""
        means = torch.cat([first, second], 1)
        entropy: Tensor = torch.special.entr(means) + torch.special.entr(1.0 - means)
        return -self.minus_energy(visible, first, second) - entropy.sum(1)

    def log_unnormalised(self, visible: Float[Tensor, "b v"]) -> Float[Tensor, " b"]:
        """The bound of log p*(v) at the means."""
        return -self.variational_free_energy(visible, *self.mean_field(visible))

    def free_energy(self, visible: Float[Tensor, "b v"], second: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
        """-log of the sum over h1 of exp(-E)."""
        inputs = self._first_input(visible, second)
        hidden = F.softplus(inputs) - self.hidden_offset * (inputs - self.first_bias)
        return -visible @ self.visible_bias - second @ self.second_bias - hidden.sum(1)

    @torch.no_grad()
    def estimate_log_partition(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Log Z and its standard error by annealed importance sampling over the first hidden layer (Sec. 2.4).

        Given it, image and second layer are independent and are summed out:

            log p*_beta(h1) = beta first_bias'h1 + log sum over v, h2 of exp(-E_beta), with all of E times beta but the
            visible bias, which moves from base_bias
        """
        chains = self.config.partition_chains
        first = torch.full_like(self.first_bias, 0.5).expand(chains, -1).bernoulli()
        num_hidden = self.config.first_hidden + self.config.second_hidden

        def move(state: Tensor, beta: float) -> Tensor:
            return self._draw_first(*self._draw_neighbours(state, beta), beta)

        return annealed_log_partition(
            first,
            rise=lambda state, now, following: self._log_summed(state, following) - self._log_summed(state, now),
            move=move,
            num_steps=self.config.partition_steps,
            log_base=F.softplus(self.base_bias).sum() + num_hidden * math.log(2.0),
        )

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Gibbs chains annealed from independent pixels to the machine; energies are divided by `temperature`."""
        if condition is not None:
            raise ValueError("a condition was given: this DBM is unconditional")
        first = torch.full_like(self.first_bias, 0.5).expand(num, -1).bernoulli()
        for step in range(self.config.sample_steps):
            beta = (step + 1) / self.config.sample_steps
            visible, second = self._draw_neighbours(first, beta, temperature)
            first = self._draw_first(visible, second, beta, temperature)
        probability = torch.sigmoid(self._visible_input(first) / temperature)
        values = probability.bernoulli() if self.config.pixel_noise else probability
        return from_unit(values).reshape(num, *self.data.shape)

    def _log_summed(self, first: Float[Tensor, "b j"], beta: float) -> Float[Tensor, " b"]:
        """Log p*_beta(h1)."""
        centred = first - self.hidden_offset
        below, above = beta * centred @ self.first_weight.T, beta * centred @ self.second_weight
        visible = F.softplus(below + torch.lerp(self.base_bias, self.visible_bias, beta)) - self.visible_offset * below
        second = F.softplus(above + beta * self.second_bias) - self.hidden_offset * above
        return visible.sum(1) + second.sum(1) + beta * first @ self.first_bias

    def _draw_neighbours(
        self, first: Float[Tensor, "b j"], beta: float = 1.0, temperature: float = 1.0
    ) -> tuple[Float[Tensor, "b v"], Float[Tensor, "b k"]]:
        """Image and second layer drawn given the first, at position `beta` of the path."""
        sharpness = beta / temperature
        visible = torch.sigmoid((1.0 - beta) * self.base_bias + sharpness * self._visible_input(first))
        return visible.bernoulli(), torch.sigmoid(sharpness * self._second_input(first)).bernoulli()

    def _draw_first(
        self, visible: Float[Tensor, "b v"], second: Float[Tensor, "b k"], beta: float = 1.0, temperature: float = 1.0
    ) -> Float[Tensor, "b j"]:
        return torch.sigmoid(beta / temperature * self._first_input(visible, second)).bernoulli()

    def _first_input(self, visible: Float[Tensor, "b v"], second: Float[Tensor, "b k"]) -> Float[Tensor, "b j"]:
        below = (visible - self.visible_offset) @ self.first_weight
        return below + (second - self.hidden_offset) @ self.second_weight.T + self.first_bias

    def _second_input(self, first: Float[Tensor, "b j"]) -> Float[Tensor, "b k"]:
        return (first - self.hidden_offset) @ self.second_weight + self.second_bias

    def _visible_input(self, first: Float[Tensor, "b j"]) -> Float[Tensor, "b v"]:
        return (first - self.hidden_offset) @ self.first_weight.T + self.visible_bias
