"""`TwoStreamNetwork` at one pixel at a time, equal to the whole network.

A layer of a resolution halved k times is computed at every 2^k-th row and column only: its place (i, j) depends on
pixels before (2^k i, 2^k j), so it is complete when the turn comes to that pixel (arXiv:1704.06001, Sec. 2.2).
"""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.models.autoregressive.raster import previous_pixel
from gen_dist.models.autoregressive.two_stream import OneStream, TwoStreamNetwork, mark_inside
from gen_dist.nn.incremental_shifted import (
    ConvAtPixel,
    ConvInRow,
    ResidualAtOnePlace,
    layer_at_one_place,
)
from gen_dist.types import to_signed


@final
class StreamAtOnePlace:
    """`OneStream` at one place; remembers what its blocks made there, for the other stream to see."""

    def __init__(self, stream: OneStream, num: int, widths: list[int]) -> None:
        self._num_scales = len(widths)
        levels = range(len(widths))

        def blocks(found: nn.ModuleList, level: int) -> list[ResidualAtOnePlace]:
            return [ResidualAtOnePlace(block, num, widths[level]) for block in found]

        self._down = [blocks(stream.down_at(level), level) for level in levels]
        self._up = [blocks(stream.up_at(level), level) for level in levels]
        self._halving = [
            layer_at_one_place(layer, num, width) for layer, width in zip(stream.halving, widths, strict=False)
        ]
        self._doubling = [
            layer_at_one_place(layer, num, width) for layer, width in zip(stream.doubling, widths, strict=False)
        ]
        self.made_down: list[list[Tensor]] = [[] for _ in levels]
        self.made_up: list[list[Tensor]] = [[] for _ in levels]

    def at(self, row: int, column: int, entered: Tensor, other: "StreamAtOnePlace | None") -> Tensor:
        """The last features at a place of the full resolution, from what `Enter` made of it.

        `other` is the stream that is shown to this one; it has been at this row.
        """
        num_levels = 1  # the resolutions that have a place here
        while num_levels < self._num_scales and not (row | column) % (1 << num_levels):
            num_levels += 1
        features = entered
        kept: list[Tensor] = []
        for level in range(num_levels):
            if level:
                features = self._halving[level - 1].read(row >> (level - 1), column >> (level - 1))
            kept.append(features)
            here = row >> level, column >> level
            self.made_down[level] = []
            for number, block in enumerate(self._down[level]):
                shown = None if other is None else other.made_down[level][number][:, :, here[1]]
                features = block.at(*here, features, shown)
                kept.append(features)
                self.made_down[level].append(features)
            if level < self._num_scales - 1:
                self._halving[level].write(*here, features)
        return self._back(row, column, num_levels, kept, other)

    def _back(
        self, row: int, column: int, num_levels: int, kept: list[Tensor], other: "StreamAtOnePlace | None"
    ) -> Tensor:
        features = kept[-1]
        for level in reversed(range(num_levels)):
            here = row >> level, column >> level
            features = kept.pop() if level == self._num_scales - 1 else self._doubling[level].read(*here)
            self.made_up[level] = []
            for number, block in enumerate(self._up[level]):
                shown = kept.pop()
                if other is not None:
                    shown = torch.cat([other.made_up[level][number][:, :, here[1]], shown], 1)
                features = block.at(*here, features, shown)
                self.made_up[level].append(features)
            if level:
                self._doubling[level - 1].write(*here, features)
        return features


@final
class TwoStreamPredictor:
    """A `PixelPredictor`: when a row begins, the stream of the rows above for the whole row; then pixel by pixel."""

    def __init__(self, network: TwoStreamNetwork, num: int, height: int, width: int) -> None:
        enter = network.enter
        widths = [-(-width // (1 << level)) for level in range(network.num_scales)]
        self._enter_above = ConvInRow(enter.above, num, width)
        self._enter_row_above = ConvInRow(enter.row_above, num, width)
        self._enter_left = ConvAtPixel(enter.left, num, width)
        self._above = StreamAtOnePlace(network.above, num, widths)
        self._before = StreamAtOnePlace(network.before, num, widths)
        self._leave_weight, self._leave_bias = network.leave.weight[:, :, 0, 0], network.leave.bias
        self._dtype = network.leave.bias.dtype
        self._nothing = network.leave.bias.new_zeros(num, enter.left.bias.numel(), width)
        self._row_above = self._nothing

    def pixel(self, values: UInt8[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b o"]:
        """Outputs at a pixel."""
        if column == 0:
            self._begin_row(values, row)
        features = self._row_above[:, :, column]
        previous = previous_pixel(row, column, values.shape[3])
        if previous is not None:
            self._enter_left.write(*previous, self._input(values[:, :, previous[0], previous[1]]))
        if column:
            features = features + self._enter_left.read(row, column - 1)
        features = self._before.at(row, column, features, self._above)
        return F.linear(F.elu(features), self._leave_weight, self._leave_bias)

    def _begin_row(self, values: UInt8[Tensor, "b c h w"], row: int) -> None:
        entered = self._nothing
        if row:
            known = self._input(values[:, :, row - 1])
            self._enter_above.write(row - 1, 0, known)
            self._enter_row_above.write(row - 1, 0, known)
            entered, self._row_above = self._enter_above.read(row - 1, 0), self._enter_row_above.read(row - 1, 0)
        self._above.at(row, 0, entered, None)

    def _input(self, values: UInt8[Tensor, "b c *place"]) -> Float[Tensor, "b d *place"]:
        return mark_inside(to_signed(values, self._dtype))
