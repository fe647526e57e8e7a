"""Shifted convolutions at one place at a time, from inputs that are kept as they come (arXiv:1704.06001).

The stream of the rows above goes row by row, as a row of it needs no pixel of that row; that of all earlier pixels goes
pixel by pixel. Two rows are all that a kernel sees, so no more are kept. Places come in raster order, in the rows and
columns of a layer's own resolution; the same place may come again.
"""

from typing import Protocol, final, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.shifted import GatedResidual, ShiftedConv2d, ShiftedUpsampling, concat_elu


@runtime_checkable
class AtOnePlace(Protocol):
    """A layer at one place. Features are "b f" at a pixel and "b f w" in a row, where the column is always 0."""

    def write(self, row: int, column: int, features: Tensor) -> None:
        """Say what the input at a place is."""
        ...

    def read(self, row: int, column: int) -> Tensor:
        """The output at a place, whose inputs are all written."""
        ...


@final
class ConvInRow:
    """A convolution of the stream above, a row at a time; of stride 2, at even rows."""

    def __init__(self, layer: ShiftedConv2d, num: int, width: int) -> None:
        weight = layer.weight
        self._weight, self._bias, self._stride = weight, layer.bias, layer.stride
        self._padding = (0, layer.reach[0])
        self._rows = weight.new_zeros(num, weight.shape[1], weight.shape[2], width)
        self._row = -1

    def write(self, row: int, column: int, features: Float[Tensor, "b i w"]) -> None:
        """Set the row; the one before it stays."""
        if row != self._row and len(self._rows[0, 0]) > 1:
            self._rows[:, :, 0] = self._rows[:, :, 1]
        self._row = row
        self._rows[:, :, -1] = features

    def read(self, row: int, column: int) -> Float[Tensor, "b o x"]:
        """The output's whole row."""
        output = F.conv2d(self._rows, self._weight, self._bias, stride=self._stride, padding=self._padding)
        return output[:, :, 0]


@final
class ConvAtPixel:
    """A convolution of the stream before, a pixel at a time; of stride 2, at pixels even in both directions."""

    def __init__(self, layer: ShiftedConv2d, num: int, width: int) -> None:
        weight = layer.weight
        self._weight, self._bias = weight.permute(0, 2, 3, 1).flatten(1).contiguous(), layer.bias
        self._left = layer.reach[0]
        _, channels, height, _ = weight.shape
        self._rows = weight.new_zeros(num, height, width + self._left, channels)
        self._row = -1

    def write(self, row: int, column: int, features: Float[Tensor, "b i"]) -> None:
        """Set the pixel; what came before it stays."""
        if row != self._row and self._rows.shape[1] > 1:
            self._rows[:, 0] = self._rows[:, 1]
        self._row = row
        self._rows[:, -1, column + self._left] = features

    def read(self, row: int, column: int) -> Float[Tensor, "b o"]:
        """The output's column of features."""
        window = self._rows[:, :, column : column + self._left + 1]
        return F.linear(window.flatten(1), self._weight, self._bias)


@final
class UpsamplingInRow:
    """`ShiftedUpsampling` of the stream above: written in low rows, read in high ones."""

    def __init__(self, layer: ShiftedUpsampling, num: int, width: int) -> None:
        self._weight, self._bias, self._width = layer.weight.transpose(0, 1), layer.bias, width
        self._low = torch.empty(0)

    def write(self, row: int, column: int, features: Float[Tensor, "b i x"]) -> None:
        """Set the low row."""
        self._low = features

    def read(self, row: int, column: int) -> Float[Tensor, "b o w"]:
        """A high row that stems from the low row written last."""
        weight = self._weight[:, :, row % 2, None]
        return F.conv_transpose2d(self._low[:, :, None], weight, self._bias, stride=(1, 2))[
            :, :, 0, 1 : self._width + 1
        ]


@final
class UpsamplingAtPixel:
    """`ShiftedUpsampling` of the stream before: written at low pixels, read at high ones."""

    def __init__(self, layer: ShiftedUpsampling, num: int, width: int) -> None:
        self._weights = layer.weight.permute(2, 3, 0, 1).contiguous()
        self._bias = layer.bias
        self._low = layer.weight.new_zeros((width + 1) // 2, num, layer.weight.shape[1])

    def write(self, row: int, column: int, features: Float[Tensor, "b i"]) -> None:
        """Set a pixel of the low row; those to its right still belong to the row before."""
        self._low[column] = features

    def read(self, row: int, column: int) -> Float[Tensor, "b o"]:
        """A high pixel that stems from a low one."""
        return F.linear(self._low[column // 2], self._weights[row % 2, column % 2], self._bias)


@final
class ResidualAtOnePlace:
    """`GatedResidual` at one place."""

    def __init__(self, block: nn.Module, num: int, width: int) -> None:
        assert isinstance(block, GatedResidual)
        self._look = layer_at_one_place(block.look, num, width)
        self._gate = layer_at_one_place(block.gate, num, width)
        self._shortcut = None if block.shortcut is None else layer_at_one_place(block.shortcut, num, width)

    def at(self, row: int, column: int, stream: Tensor, shown: Tensor | None) -> Tensor:
        """The stream plus what the block adds to it."""
        self._look.write(row, column, concat_elu(stream))
        hidden = self._look.read(row, column)
        if self._shortcut is not None:
            assert shown is not None, "a block with a short-cut is always shown something"
            self._shortcut.write(row, column, concat_elu(shown))
            hidden = hidden + self._shortcut.read(row, column)
        self._gate.write(row, column, concat_elu(hidden))
        added, gate = self._gate.read(row, column).chunk(2, 1)
        return stream + added * torch.sigmoid(gate)


def layer_at_one_place(layer: nn.Module, num: int, width: int) -> AtOnePlace:
    """A layer for `num` images, row by row or pixel by pixel, as its stream goes.

    Args:
        layer: a `ShiftedConv2d` or `ShiftedUpsampling`.
        num: images.
        width: of the higher resolution: a convolution's inputs, an upsampling's outputs.
    """
    match layer:
        case ShiftedConv2d():
            return ConvInRow(layer, num, width) if layer.stream == "above" else ConvAtPixel(layer, num, width)
        case ShiftedUpsampling():
            in_row = layer.stream == "above"
            return UpsamplingInRow(layer, num, width) if in_row else UpsamplingAtPixel(layer, num, width)
    raise TypeError(f"a {type(layer).__name__} can't be computed at one place")
