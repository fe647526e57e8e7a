"""Stacks of PixelRNN's LSTM layers, one pixel at a time: each state is computed once and kept for its neighbours.

What comes from the row above is known before a row begins, so it is computed for the whole row, and for all layers at
once; within the row remain, per pixel and layer, one small matrix product and one cell.
"""

from collections.abc import Sequence
from typing import Protocol, final, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gen_dist.nn.recurrent import DiagonalBiLSTM, InputToState, RowLSTM
from gen_dist.nn.scan import lstm_cell


@runtime_checkable
class IncrementalLSTMs(Protocol):
    """Layers that are asked in raster order."""

    def start_row(self) -> None:
        """Say that the next pixel is the first of a row, and that all features of earlier rows are final."""

    def at(self, index: int, column: int, features: Float[Tensor, "b i"]) -> Float[Tensor, "b f"]:
        """Hidden state of layer number `index` at a column of this row, given its input; it may be asked again."""
        ...


@final
class IncrementalRowLSTMs:
    """`RowLSTM` layers; all tensors are kept layer by layer: (layers, images, columns, features)."""

    def __init__(self, layers: Sequence[RowLSTM], num: int, width: int) -> None:
        weights = [_dense(layer.input_to_state) for layer in layers]
        self._from_input = [weight[0].permute(2, 1, 0).flatten(0, 1) for weight, _ in weights]
        self._bias = torch.stack([bias for _, bias in weights])[:, None, None, 0]
        self._from_above = torch.stack([layer.state_to_state[0] for layer in layers])
        size, hidden = (len(layers), num), self._from_above.shape[2] // 4
        channels, like = layers[0].input_to_state.weight.shape[1], self._bias
        self._inputs = like.new_zeros(*size, width + 1, channels)  # a zero before the first
        self._hidden, self._cell, self._cell_above = (like.new_zeros(*size, width, hidden) for _ in range(3))
        self._gates = like.new_zeros(*size, width, 4 * hidden)

    def start_row(self) -> None:
        """What the states of the row that is complete say to the gates of the next."""
        layers, num, width, _ = self._hidden.shape
        padded = F.pad(self._hidden, (0, 0, 1, 1))
        seen = torch.cat([padded[:, :, tap : tap + width] for tap in range(3)], -1)
        self._gates = torch.bmm(seen.flatten(1, 2), self._from_above).view(layers, num, width, -1) + self._bias
        self._cell_above.copy_(self._cell)

    def at(self, index: int, column: int, features: Float[Tensor, "b i"]) -> Float[Tensor, "b f"]:
        """Hidden state of a layer at a column."""
        self._inputs[index, :, column + 1] = features
        window = self._inputs[index, :, column : column + 2].flatten(1)
        gates = torch.addmm(self._gates[index, :, column], window, self._from_input[index])
        hidden, self._cell[index, :, column] = lstm_cell(gates, self._cell_above[index, :, column])
        self._hidden[index, :, column] = hidden
        return hidden


@final
class IncrementalDiagonalBiLSTMs:
    """`DiagonalBiLSTM` layers.

    The LSTM from the left needs states above and left, which are there. The one from the right needs states to the
    right, but counts one row later only: it runs over a row as soon as that row's features are complete.
    """

    def __init__(self, layers: Sequence[DiagonalBiLSTM], num: int, width: int) -> None:
        weights = [_dense(layer.input_to_state) for layer in layers]
        bias = torch.stack([bias for _, bias in weights])
        self._bias, self._bias_right = bias[:, None, None, 0], bias[:, None, None, 1]
        states = torch.stack(
            [layer.state_to_state for layer in layers]
        )  # (layers, directions, above and beside, gates)
        hidden = states.shape[3] // 4
        above, beside = states[:, :, :hidden], states[:, :, hidden:]
        self._from_above, self._from_above_right = above[:, 0], above[:, 1]
        # Per direction: input features, then the state beside the pixel, in one product.
        inputs = torch.stack([weight[..., 0].transpose(1, 2) for weight, _ in weights])
        self._from_input_and_left = list(torch.cat((inputs[:, 0], beside[:, 0]), 1))
        self._from_input_right, self._from_right = inputs[:, 1], beside[:, 1]
        size = (len(layers), num)
        self._inputs = bias.new_zeros(*size, width, inputs.shape[2])
        self._hidden, self._cell = (
            bias.new_zeros(*size, width + 1, hidden) for _ in range(2)
        )  # a zero before the first
        self._right = bias.new_zeros(*size, width, hidden)
        self._gates = bias.new_zeros(*size, width, 4 * hidden)
        self._rows = 0

    def start_row(self) -> None:
        """Run over the row that is complete from the right; say what it says to the next from the left."""
        if self._rows:
            self._sweep_from_the_right()
        self._rows += 1
        self._gates = _batched(self._hidden[:, :, 1:], self._from_above) + self._bias

    def at(self, index: int, column: int, features: Float[Tensor, "b i"]) -> Float[Tensor, "b f"]:
        """Sum of a layer's hidden states at a column."""
        self._inputs[index, :, column] = features
        seen = torch.cat((features, self._hidden[index, :, column]), 1)
        gates = torch.addmm(self._gates[index, :, column], seen, self._from_input_and_left[index])
        hidden, cell = lstm_cell(gates, self._cell[index, :, column])
        self._hidden[index, :, column + 1], self._cell[index, :, column + 1] = hidden, cell
        return hidden + self._right[index, :, column]

    def _sweep_from_the_right(self) -> None:
        gates = _batched(self._inputs, self._from_input_right) + _batched(self._right, self._from_above_right)
        gates += self._bias_right
        hidden = cell = torch.zeros_like(self._right[:, :, 0])
        for column in reversed(range(gates.shape[2])):
            hidden, cell = lstm_cell(torch.baddbmm(gates[:, :, column], hidden, self._from_right), cell)
            self._right[:, :, column] = hidden


def _dense(layer: InputToState) -> tuple[Float[Tensor, "d g i k"], Float[Tensor, "d g"]]:
    """Masked weight and bias of an input-to-state convolution, direction by direction."""
    assert layer.bias is not None
    weight = (layer.weight * layer.mask)[:, :, 0]
    return weight.view(layer.num_directions, -1, *weight.shape[1:]), layer.bias.view(layer.num_directions, -1)


def _batched(features: Float[Tensor, "l b w i"], weight: Float[Tensor, "l i g"]) -> Float[Tensor, "l b w g"]:
    return torch.bmm(features.flatten(1, 2), weight).view(*features.shape[:3], -1)
