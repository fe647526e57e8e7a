"""MADE: an autoencoder whose weights are masked so that each output sees only the values before it.

Paper: M. Germain, K. Gregor, I. Murray, H. Larochelle (2015), MADE: Masked Autoencoder for Distribution Estimation,
arXiv:1502.03509.

Departures: Adam instead of Adadelta or Adagrad; masks are drawn once from a seed and cycled through, one for each
round; no weights that see the mask itself; for 8-bit images each value is a mixture of discretised logistics.

| symbol | name here |
|---|---|
| m(d), place of value d in the order; m^l(k) (Sec. 3) | `degrees` of a `MaskedNetwork` |
| M^W, M^V (Eq. 8, 9, 12, 13), M^A of direct connections | the masks of its `masked_weights` |
| order-agnostic, connectivity-agnostic training (Sec. 4) | `random_orders`, `num_masks` |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from gen_dist.capabilities import LikelihoodKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import bits_per_dimension
from gen_dist.models.autoregressive.autoregressive import Autoregressive, network_input
from gen_dist.models.autoregressive.mixtures import LogisticMixture
from gen_dist.models.autoregressive.outputs import Bernoulli, PixelDistribution
from gen_dist.models.autoregressive.raster import PixelPredictor, previous_pixel
from gen_dist.models.autoregressive.sequence import from_sequence, to_sequence
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.models.solo import solo_player
from gen_dist.nn.masked_dense import IncrementalMaskedNetwork, MaskedNetwork
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

PAPER = Paper(
    title="MADE: Masked Autoencoder for Distribution Estimation",
    authors="M. Germain, K. Gregor, I. Murray, H. Larochelle",
    year=2015,
    arxiv="1502.03509",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class MADEConfig:
    """Settings of the network.

    Attributes:
        likelihood: "bernoulli" over images that are thresholded at 128, or "logistic-mixture" over 8-bit images.
        hidden: units of each hidden layer.
        num_components: logistics of each value's mixture.
        num_masks: sets of hidden units' degrees; round by round each trains in turn, and the model is their mixture.
        random_orders: whether each mask has its own order of the values, instead of all the raster order.
        direct: whether outputs also see earlier values without a layer between.
        mask_seed: of orders and degrees.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    likelihood: Literal["bernoulli", "logistic-mixture"] = "bernoulli"
    hidden: tuple[int, ...] = (500,)
    num_components: int = 5
    num_masks: int = 1
    random_orders: bool = False
    direct: bool = True
    mask_seed: int = 0
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "num_components", "num_masks")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"model.hidden is {self.hidden}: it must name the units of at least one layer")

    def build(self, data: DataSpec) -> "MADE | MADEEnsemble":
        """A freshly initialised network; only one with a single mask in raster order can complete images."""
        return MADEEnsemble(self, data) if self.num_masks > 1 or self.random_orders else MADE(self, data)


@final
class MADE(Autoregressive):
    """One mask, raster order."""

    def __init__(self, config: MADEConfig, data: DataSpec) -> None:
        super().__init__(config, data, _distribution(config, data))
        self.network = _network(config, data)

    def predict(self, inputs: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b o h w"]:
        """Parameters of every value's distribution, given the earlier ones."""
        return from_sequence(self.network(to_sequence(inputs), 0), self.data)

    def predictor(self, num: int, labels: Int64[Tensor, " b"] | None) -> PixelPredictor:
        """The hidden layers and one pixel's outputs, with the first layer's sums kept."""
        return _OnePixel(self, num)


@final
class MADEEnsemble(Learner):
    """Several masks on the same weights: their equal mixture is the model (Sec. 4)."""

    def __init__(self, config: MADEConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        self.distribution = _distribution(config, data)
        self.network = _network(config, data)

    @property
    def players(self) -> Mapping[str, Player]:
        """The whole network is one player, "model"."""
        return solo_player(self, self.config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "likelihood"."""
        return (Phase(name="likelihood", player="model", signal=self.negative_log_likelihood),)

    def negative_log_likelihood(self, batch: ImageBatch, context: Context) -> Signal:
        """The negative log-likelihood under the round's mask, in bits per dimension: a bound of the mixture's."""
        mask = context.moment.round % self.config.num_masks
        return Loss(
            bits_per_dimension(-self.masked_log_probability(batch.images, mask).mean(), self.data.num_dimensions)
        )

    def masked_log_probability(self, images: UInt8[Tensor, "b c h w"], mask: int) -> Float[Tensor, " b"]:
        """Log-probability under one mask in nats, differentiable."""
        dtype = self.network.leave.weight.dtype
        inputs = to_sequence(network_input(images, self.likelihood_of, dtype))
        outputs = from_sequence(self.network(inputs, mask).to(dtype), self.data)
        return self.distribution.log_probability(outputs, images).flatten(1).sum(1)

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """A mixture of products of conditionals is exact."""
        return "exact"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """What the distribution is over."""
        return self.distribution.likelihood_of

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Logarithm of the masks' average probability, in nats."""
        each = [self.masked_log_probability(images, mask) for mask in range(self.config.num_masks)]
        return torch.logsumexp(torch.stack(each), 0) - math.log(self.config.num_masks)

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Each image by a mask of its own, value by value in that mask's order."""
        if condition is not None:
            raise ValueError("a condition was given: MADE is unconditional")
        device = self.network.leave.weight.device
        masks = torch.randint(self.config.num_masks, (num,), device=device)
        images = torch.zeros(num, *self.data.shape, dtype=torch.uint8, device=device)
        for mask in range(self.config.num_masks):
            mine = (masks == mask).nonzero()[:, 0]
            if len(mine):
                images[mine] = self._draw(len(mine), mask, temperature)
        return images

    def _draw(self, num: int, mask: int, temperature: float) -> UInt8[Tensor, "n c h w"]:
        colours, _, width = self.data.shape
        weight = self.network.leave.weight
        images = torch.zeros(num, *self.data.shape, dtype=torch.uint8, device=weight.device)
        network = IncrementalMaskedNetwork(self.network, mask, num)
        for number in self.network.degrees(mask)[0].argsort().tolist():
            pixel, colour = divmod(number, colours)
            row, column = divmod(pixel, width)
            outputs = network.outputs(pixel * colours, colours).flatten(1)
            value = self.distribution.draw(outputs, images[:, :, row, column], colour, temperature)
            images[:, colour, row, column] = value.to(images.dtype)
            network.write(number, network_input(images[:, colour, row, column, None], self.likelihood_of, weight.dtype))
        return images


@final
class _OnePixel:
    """`MADE.predict` at one pixel at a time."""

    def __init__(self, model: MADE, num: int) -> None:
        self._model = model
        self._network = IncrementalMaskedNetwork(model.network, 0, num)

    def pixel(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b o"]:
        """Outputs at a pixel, each colour given the earlier ones."""
        colours, _, width = values.shape[1:]
        previous = previous_pixel(row, column, width)
        for place in ((row, column),) if previous is None else (previous, (row, column)):
            inputs = network_input(values[:, :, *place], self._model.likelihood_of, self._model.origin.dtype)
            self._network.write((place[0] * width + place[1]) * colours, inputs)
        return self._network.outputs((row * width + column) * colours, colours).flatten(1)


def _distribution(config: MADEConfig, data: DataSpec) -> PixelDistribution:
    if config.likelihood == "bernoulli":
        return Bernoulli(data.channels)
    return LogisticMixture(data.channels, config.num_components)


def _network(config: MADEConfig, data: DataSpec) -> MaskedNetwork:
    """The network with orders and degrees drawn from the configuration's seed; mixtures start side by side."""
    num = data.num_dimensions
    generator = torch.Generator().manual_seed(config.mask_seed)
    if config.random_orders:
        orders = [torch.randperm(num, generator=generator, device="cpu") + 1 for _ in range(config.num_masks)]
    else:
        orders = [torch.arange(1, num + 1, device="cpu")] * config.num_masks
    distribution = _distribution(config, data)
    per_value = distribution.num_outputs // data.channels
    network = MaskedNetwork(torch.stack(orders), config.hidden, per_value, direct=config.direct, generator=generator)
    if isinstance(distribution, LogisticMixture):
        with torch.no_grad():
            network.leave.bias.copy_(distribution.initial_bias().repeat(num))
    return network
