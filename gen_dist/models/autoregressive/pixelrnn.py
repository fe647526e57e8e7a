"""PixelRNN: each pixel's distribution given all pixels above and to the left, by two-dimensional LSTM layers.

Paper: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu (2016), Pixel Recurrent Neural Networks, arXiv:1601.06759.

Departures: Adam instead of RMSprop and a moving average of the weights; forget gates start open (bias 1); without the
optional connections from each layer to the output; with three colours h is a multiple of three. The Diagonal BiLSTM
runs over one empty column more, right of the image. For mask A hides a row's last pixel from all features of its row,
so in the paper's network the next row's pixels, but for a few at the right edge, do not see it. The features of the
empty column do, and the LSTM from the right starts there.

| symbol | name here |
|---|---|
| p(x) = product of p(x_i given x_<i) (Eq. 1), p over R, G, B in turn (Eq. 2) | `log_probability` |
| h, features of the state; 2h, feature maps of the residual stream | `features` / 2, `features` |
| K^is, input-to-state; K^ss, state-to-state (Eq. 3) | `input_to_state`, `state_to_state` |
| o, f, i, g, the gates; c, the cell; h, the hidden state (Eq. 3) | `gen_dist.nn.scan.lstm_cell` |
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
from gen_dist.nn.incremental_recurrent import IncrementalDiagonalBiLSTMs, IncrementalLSTMs, IncrementalRowLSTMs
from gen_dist.nn.masked import MaskedConv2d
from gen_dist.nn.recurrent import DiagonalBiLSTM, RowLSTM
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec

PAPER = Paper(
    title="Pixel Recurrent Neural Networks",
    authors="A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu",
    year=2016,
    arxiv="1601.06759",
)

_OPTIMIZER = Adam(learning_rate=1e-3)
Architecture = Literal["row-lstm", "diagonal-bilstm"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelRNNConfig:
    """Settings of the network.

    Attributes:
        architecture: "row-lstm" steps from row to row and sees a triangle above each pixel; "diagonal-bilstm" steps
            from diagonal to diagonal, twice as many, and sees everything above.
        likelihood: "softmax" over 256 values, or "bernoulli" over images that are thresholded at 128.
        features: feature maps of the residual stream (2h in the paper); an even multiple of the colours.
        num_layers: LSTM layers, each with a residual connection.
        first_kernel_size: of the mask A convolution.
        output_features: feature maps of the two 1x1 layers before the output.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    architecture: Architecture = "row-lstm"
    likelihood: Literal["softmax", "bernoulli"] = "softmax"
    features: int = 32
    num_layers: int = 4
    first_kernel_size: int = 7
    output_features: int = 32
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        if self.features < 2 or self.features % 2:
            raise ValueError(f"model.features is {self.features}: an LSTM's state has half of it, so it must be even")
        check_at_least_one(self, "num_layers")
        check_first_kernel(self.first_kernel_size)
        check_at_least_one(self, "output_features")

    def build(self, data: DataSpec) -> "PixelRNN":
        """A freshly initialised network; ValueError when the colours do not divide the feature maps."""
        check_colours_divide(data, **{"features / 2": self.features // 2}, output_features=self.output_features)
        return PixelRNN(self, data)


@final
class ResidualLSTM(nn.Module):
    """An LSTM layer with half the features, and a masked 1x1 convolution back, around a skip connection (Fig. 5)."""

    def __init__(self, architecture: Architecture, features: int, num_colours: int) -> None:
        super().__init__()
        layer = RowLSTM if architecture == "row-lstm" else DiagonalBiLSTM
        self.look: RowLSTM | DiagonalBiLSTM = layer(features, features // 2, num_colours=num_colours)
        self.expand = MaskedConv2d(features // 2, features, 1, kind="B", num_colours=num_colours)

    def forward(self, stream: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        """The stream plus what the layer adds to it."""
        added: Tensor = self.expand(self.look(stream))
        return stream + added


@final
class PixelRNN(Autoregressive):
    """The networks of Table 1: 7x7 mask A, residual LSTM layers, two 1x1 layers, softmax or sigmoid."""

    def __init__(self, config: PixelRNNConfig, data: DataSpec) -> None:
        super().__init__(config, data, pixel_distribution(config.likelihood, data.channels))
        colours = data.channels
        kernel, hidden = config.first_kernel_size, config.output_features
        self.num_empty_columns = 1 if config.architecture == "diagonal-bilstm" else 0
        self.enter = MaskedConv2d(colours, config.features, kernel, kind="A", num_colours=colours)
        self.layers = nn.ModuleList(
            ResidualLSTM(config.architecture, config.features, colours) for _ in range(config.num_layers)
        )
        self.leave = nn.ModuleList(
            (
                MaskedConv2d(config.features, hidden, 1, kind="B", num_colours=colours),
                MaskedConv2d(hidden, hidden, 1, kind="B", num_colours=colours),
                MaskedConv2d(hidden, self.distribution.num_outputs, 1, kind="B", num_colours=colours),
            )
        )

    def predict(self, inputs: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b o h w"]:
        """Logits of every value given the earlier ones."""
        stream: Tensor = self.enter(F.pad(inputs, (0, self.num_empty_columns)))
        for layer in self.layers:
            stream = layer(stream)
        stream = stream[..., : inputs.shape[3]]
        for layer in self.leave:
            stream = layer(F.relu(stream))
        return stream

    def predictor(self, num: int, labels: Int64[Tensor, " b"] | None) -> PixelPredictor:
        """Each layer at one pixel, from what earlier pixels left behind."""
        return _OnePixel(self, num)


@final
class _OnePixel:
    """`PixelRNN.predict` at one pixel at a time."""

    def __init__(self, model: PixelRNN, num: int) -> None:
        data = model.data
        width = data.width + model.num_empty_columns

        def incremental(layer: nn.Module) -> IncrementalConv2d:
            assert isinstance(layer, MaskedConv2d)
            return IncrementalConv2d(layer, num, data.height, width)

        self._model = model
        self._enter = incremental(model.enter)
        self._recurrence = _incremental_recurrence(model, num, width)
        self._expand = [incremental(layer.expand) for layer in model.layers if isinstance(layer, ResidualLSTM)]
        self._leave = [incremental(layer) for layer in model.leave]
        self._empty_columns = range(data.width, width)
        self._nothing = model.origin.new_zeros(num, data.channels)
        self._row = -1

    def pixel(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b o"]:
        """Logits of the values at a pixel."""
        previous = previous_pixel(row, column, values.shape[3])
        if previous is not None:  # it was drawn after its features were computed
            self._enter.write(*previous, self._input(values, *previous))
        if row != self._row:
            self._start_row(row)
        stream = self._stream(row, column, self._input(values, row, column))
        for layer in self._leave:
            stream = layer.at(row, column, F.relu(stream))
        return stream

    def _start_row(self, row: int) -> None:
        if row:
            for column in self._empty_columns:
                self._stream(row - 1, column, self._nothing)
        self._recurrence.start_row()
        self._row = row

    def _stream(self, row: int, column: int, inputs: Float[Tensor, "b c"]) -> Float[Tensor, "b f"]:
        """The residual stream after the last LSTM layer."""
        stream = self._enter.at(row, column, inputs)
        for index, expand in enumerate(self._expand):
            stream = stream + expand.at(row, column, self._recurrence.at(index, column, stream))
        return stream

    def _input(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b c"]:
        return network_input(values[:, :, row, column], self._model.likelihood_of, self._model.origin.dtype)


def _incremental_recurrence(model: PixelRNN, num: int, width: int) -> IncrementalLSTMs:
    layers = [layer.look for layer in model.layers if isinstance(layer, ResidualLSTM)]
    rows = [layer for layer in layers if isinstance(layer, RowLSTM)]
    diagonals = [layer for layer in layers if isinstance(layer, DiagonalBiLSTM)]
    return IncrementalRowLSTMs(rows, num, width) if rows else IncrementalDiagonalBiLSTMs(diagonals, num, width)
