"""NADE: each value's distribution given all before it, by one hidden layer whose input grows by one value at a time.

Paper: H. Larochelle, I. Murray (2011), The Neural Autoregressive Distribution Estimator, JMLR W&CP 15 (AISTATS).
Real values: B. Uria, I. Murray, H. Larochelle (2013), RNADE: The real-valued neural autoregressive density-estimator,
arXiv:1306.0186.

Departures: Adam instead of plain gradient descent; raster order instead of one random order; 8-bit images are read as
they are, in [-1, 1], and only the value that is predicted is dequantised, so a score is a tighter bound than RNADE's;
no weights on the gradients of the means.

| symbol | name here |
|---|---|
| a_i = c + sum over j < i of W_j x_j (Alg. 1) | `carry` at the start of a chunk, plus what the chunk adds |
| h_i = sigmoid(a_i), of RNADE relu(rho_i a_i) (its Eq. 3, 4) | `_activate`; rho `scale` |
| V_i, b_i | `output_weight`, `output_bias`, for each output of value i |
| W, c | `weight`, `hidden_bias` |
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gen_dist.capabilities import LikelihoodKind
from gen_dist.models.autoregressive.autoregressive import Autoregressive, network_input
from gen_dist.models.autoregressive.mixtures import GaussianMixture
from gen_dist.models.autoregressive.outputs import Bernoulli
from gen_dist.models.autoregressive.raster import PixelPredictor, previous_pixel
from gen_dist.models.autoregressive.sequence import from_sequence, to_sequence
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec

PAPER = Paper(
    title="The Neural Autoregressive Distribution Estimator",
    authors="H. Larochelle, I. Murray",
    year=2011,
)

_OPTIMIZER = Adam(learning_rate=1e-3)
CHUNK = 16
"""Values whose hidden units are computed at a time: memory and arithmetic per value both grow with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NADEConfig:
    """Settings of the network.

    Attributes:
        likelihood: "bernoulli" over images that are thresholded at 128 (NADE), or "gaussian-mixture" over dequantised
            8-bit images (RNADE).
        hidden: hidden units, shared by all values.
        num_components: Gaussians of each value's mixture.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    likelihood: Literal["bernoulli", "gaussian-mixture"] = "bernoulli"
    hidden: int = 500
    num_components: int = 10
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "hidden", "num_components")

    def build(self, data: DataSpec) -> "NADE":
        """A freshly initialised network over such images."""
        return NADE(self, data)


@final
class NADE(Autoregressive):
    """Sigmoid hidden units and logits (NADE), or scaled rectified units and mixtures (RNADE)."""

    def __init__(self, config: NADEConfig, data: DataSpec) -> None:
        real = config.likelihood == "gaussian-mixture"
        mixture = GaussianMixture(data.channels, config.num_components)
        super().__init__(config, data, mixture if real else Bernoulli(data.channels))
        self.real = real
        num, per_value = data.num_dimensions, self.distribution.num_outputs // data.channels
        hidden = config.hidden
        # The last value is nobody's input.
        self.weight = nn.Parameter(torch.randn(num - 1, hidden) / math.sqrt(num))
        self.hidden_bias = nn.Parameter(0.1 * torch.randn(hidden))
        self.output_weight = nn.Parameter(torch.randn(num, per_value, hidden) / math.sqrt(hidden))
        start = mixture.initial_bias() if real else torch.zeros(per_value)
        self.output_bias = nn.Parameter(start.repeat(num, 1))
        # Sums grow as values enter: where these scales start, sums of independent values are all as large.
        place = torch.arange(1.0, num + 1.0)
        self.scale = nn.Parameter((num / place).sqrt()) if real else None

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """A density of dequantised values bounds the probability of 8-bit ones (arXiv:1511.01844, Eq. 6)."""
        return "lower bound" if self.real else "exact"

    def predict(self, inputs: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b o h w"]:
        """Parameters of every value's distribution, chunk by chunk; hidden units are computed again for the gradient.

        So memory grows with the chunk and not with the product of values and hidden units.
        """
        values = self.scaled(to_sequence(inputs))
        carry = self.hidden_bias.expand(len(values), -1)
        outputs = []
        # Sums over all earlier values, and means finer than a grey level: more than bfloat16 holds.
        with torch.autocast(values.device.type, enabled=False):
            for start in range(0, values.shape[1], CHUNK):
                chunk = values[:, start : start + CHUNK]
                outputs.append(_recomputed(self.chunk_outputs, carry, chunk, start))
                carry = self.advance(carry, chunk, start)
        return from_sequence(torch.cat(outputs, 1), self.data)

    def predictor(self, num: int, labels: Int64[Tensor, " b"] | None) -> PixelPredictor:
        """The recursion itself: a pixel costs one row of weights for each of its values."""
        return _OnePixel(self, num)

    def scaled(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What enters the sum: binary values are 0 or 1, as in the paper."""
        return values if self.real else 0.5 * (values + 1.0)

    def advance(self, carry: Float[Tensor, "b k"], chunk: Float[Tensor, "b p"], start: int) -> Float[Tensor, "b k"]:
        """The sum a after the values of a chunk, from the one before them."""
        weight = self.weight[start : start + chunk.shape[1]]
        return carry + chunk[:, : len(weight)] @ weight

    def chunk_outputs(
        self, carry: Float[Tensor, "b k"], chunk: Float[Tensor, "b p"], start: int
    ) -> Float[Tensor, "b p o"]:
        """Outputs at the values from number `start` on, each given those before it, whose sum is `carry`.

        Inside a chunk the running sum is a product with a strictly triangular matrix of the chunk's values:

            value 0 sees  . . .       value 2 sees  x0 x1 .
            value 1 sees  x0 . .
        """
        num = chunk.shape[1]
        stop = start + num
        earlier = (chunk[:, None] * torch.ones_like(chunk[0]).expand(num, -1).tril(-1))[:, :, : num - 1]
        sums = carry[:, None] + earlier @ self.weight[start : stop - 1]
        hidden = self._activate(sums, start, stop)
        outputs = torch.einsum("bpk,pok->bpo", hidden, self.output_weight[start:stop])
        return outputs + self.output_bias[start:stop]

    def _activate(self, sums: Float[Tensor, "b p k"], start: int, stop: int) -> Float[Tensor, "b p k"]:
        if self.scale is None:
            return torch.sigmoid(sums)
        return F.relu(self.scale[start:stop, None] * sums)


_recomputed = functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False)


@final
class _OnePixel:
    """`NADE.predict` at one pixel at a time: keeps the sum over all earlier pixels."""

    def __init__(self, model: NADE, num: int) -> None:
        self._model = model
        self._carry = model.hidden_bias.expand(num, -1)
        self._summed = (0, 0)

    def pixel(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b o"]:
        """Outputs at a pixel, each colour given the earlier ones."""
        model, (colours, _, width) = self._model, values.shape[1:]
        previous = previous_pixel(row, column, width)
        if previous is not None and previous == self._summed:
            start = (previous[0] * width + previous[1]) * colours
            self._carry = model.advance(self._carry, self._at(values, *previous), start)
            self._summed = (row, column)
        outputs = model.chunk_outputs(self._carry, self._at(values, row, column), (row * width + column) * colours)
        return outputs.flatten(1)

    def _at(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b c"]:
        model = self._model
        return model.scaled(network_input(values[:, :, row, column], model.likelihood_of, model.origin.dtype))
