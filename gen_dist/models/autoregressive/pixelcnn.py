"""PixelCNN: each pixel's distribution given all pixels above and to the left, by masked convolutions.

Paper: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu (2016), Pixel Recurrent Neural Networks, arXiv:1601.06759.

Departures: none in the network; Adam instead of RMSprop, and widths that suit a small machine. As in the paper, the
stack of masked convolutions has a blind spot to the upper right (see Gated PixelCNN for its cure).

| symbol | name here |
|---|---|
| p(x) = product of p(x_i given x_<i) (Eq. 1), p over R, G, B in turn (Eq. 2) | `log_probability` |
| 2h, feature maps of the residual stream | `features` |
| mask A, mask B (Fig. 2) | `gen_dist.nn.masked.causal_mask` |
"""

from dataclasses import dataclass
from typing import Literal, final

import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from gen_dist.models.autoregressive.autoregressive import Autoregressive, network_input
from gen_dist.models.autoregressive.outputs import pixel_distribution
from gen_dist.models.autoregressive.raster import PixelPredictor, previous_pixel
from gen_dist.models.checks import check_at_least_one, check_colours_divide, check_first_kernel
from gen_dist.models.paper import Paper
from gen_dist.nn.incremental import IncrementalConv2d
from gen_dist.nn.masked import MaskedConv2d
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec

PAPER = Paper(
    title="Pixel Recurrent Neural Networks",
    authors="A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu",
    year=2016,
    arxiv="1601.06759",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelCNNConfig:
    """Settings of the network.

    Attributes:
        likelihood: "softmax" over 256 values, or "bernoulli" over images that are thresholded at 128.
        features: feature maps of the residual stream (2h in the paper); even, and a multiple of the colours.
        num_blocks: residual blocks; each sees one pixel further.
        first_kernel_size: of the mask A convolution; odd and at least 3.
        output_features: feature maps of the two 1x1 layers before the output.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    likelihood: Literal["softmax", "bernoulli"] = "softmax"
    features: int = 64
    num_blocks: int = 4
    first_kernel_size: int = 7
    output_features: int = 64
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        if self.features < 2 or self.features % 2:
            raise ValueError(f"model.features is {self.features}: a residual block halves it, so it must be even")
        if self.num_blocks < 0:
            raise ValueError(f"model.num_blocks is {self.num_blocks}: it must be 0 or more")
        check_first_kernel(self.first_kernel_size)
        check_at_least_one(self, "output_features")

    def build(self, data: DataSpec) -> "PixelCNN":
        """A freshly initialised network; ValueError when the colours do not divide the feature maps."""
        check_colours_divide(data, **{"features / 2": self.features // 2}, output_features=self.output_features)
        return PixelCNN(self, data)


@final
class ResidualBlock(nn.Module):
    """1x1, 3x3 and 1x1 masked convolutions around a skip connection (Fig. 5, left)."""

    def __init__(self, features: int, num_colours: int) -> None:
        super().__init__()
        inner = features // 2
        self.reduce = MaskedConv2d(features, inner, 1, kind="B", num_colours=num_colours)
        self.look = MaskedConv2d(inner, inner, 3, kind="B", num_colours=num_colours)
        self.expand = MaskedConv2d(inner, features, 1, kind="B", num_colours=num_colours)

    def forward(self, stream: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        """The stream plus what the block adds to it."""
        hidden = self.look(F.relu(self.reduce(F.relu(stream))))
        added: Tensor = self.expand(F.relu(hidden))
        return stream + added


@final
class PixelCNN(Autoregressive):
    """The PixelCNN of Table 1: 7x7 mask A, residual blocks with mask B, two 1x1 layers, softmax or sigmoid."""

    def __init__(self, config: PixelCNNConfig, data: DataSpec) -> None:
        super().__init__(config, data, pixel_distribution(config.likelihood, data.channels))
        colours = data.channels
        kernel, hidden = config.first_kernel_size, config.output_features
        self.enter = MaskedConv2d(colours, config.features, kernel, kind="A", num_colours=colours)
        self.blocks = nn.ModuleList(ResidualBlock(config.features, colours) for _ in range(config.num_blocks))
        self.leave = nn.ModuleList(
            (
                MaskedConv2d(config.features, hidden, 1, kind="B", num_colours=colours),
                MaskedConv2d(hidden, hidden, 1, kind="B", num_colours=colours),
                MaskedConv2d(hidden, self.distribution.num_outputs, 1, kind="B", num_colours=colours),
            )
        )

    def predict(self, inputs: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b o h w"]:
        """Logits of every value given the earlier ones."""
        stream: Tensor = self.enter(inputs)
        for block in self.blocks:
            stream = block(stream)
        for layer in self.leave:
            stream = layer(F.relu(stream))
        return stream

    def predictor(self, num: int, labels: Int64[Tensor, " b"] | None) -> PixelPredictor:
        """Each layer at one pixel, from what earlier pixels left behind."""
        return _OnePixel(self, num)


@final
class _OnePixel:
    """`PixelCNN.predict` at one pixel at a time."""

    def __init__(self, model: PixelCNN, num: int) -> None:
        def incremental(layer: nn.Module) -> IncrementalConv2d:
            assert isinstance(layer, MaskedConv2d)
            return IncrementalConv2d(layer, num, model.data.height, model.data.width)

        self._model = model
        self._enter = incremental(model.enter)
        self._blocks = [[incremental(layer) for layer in block.children()] for block in model.blocks]
        self._leave = [incremental(layer) for layer in model.leave]

    def pixel(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b o"]:
        """Logits of the values at a pixel."""
        previous = previous_pixel(row, column, values.shape[3])
        if previous is not None:  # it was drawn after its features were computed
            self._enter.write(*previous, self._input(values, *previous))
        stream = self._enter.at(row, column, self._input(values, row, column))
        for block in self._blocks:
            added = stream
            for layer in block:
                added = layer.at(row, column, F.relu(added))
            stream = stream + added
        for layer in self._leave:
            stream = layer.at(row, column, F.relu(stream))
        return stream

    def _input(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b c"]:
        return network_input(values[:, :, row, column], self._model.likelihood_of, self._model.origin.dtype)
