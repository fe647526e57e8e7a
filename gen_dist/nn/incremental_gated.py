"""`GatedNetwork` one pixel at a time: the vertical stack a row at a time, the horizontal stack a pixel at a time.

See `gen_dist.nn.incremental` for the idea. A row of the vertical stack depends on earlier rows only, so it is computed
once, when its first pixel's turn comes; what remains for each pixel are two small products per block.
"""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gen_dist.nn.gated import GatedBlock, GatedNetwork, gate
from gen_dist.nn.incremental import FeatureMap, IncrementalConv2d
from gen_dist.nn.masked import MaskedConv2d


@final
class IncrementalGatedNetwork:
    """A `GatedNetwork` at one pixel at a time, called in raster order, perhaps several times for the same pixel.

    Args:
        network: whose weights are used as they are now.
        num: maps that are drawn at once.
        height: rows of a map.
        width: columns of a map.
        condition: as in `GatedNetwork.forward`.
        condition_map: as in `GatedNetwork.forward`.
    """

    def __init__(
        self,
        network: GatedNetwork,
        num: int,
        height: int,
        width: int,
        *,
        condition: Float[Tensor, "b k"] | None = None,
        condition_map: Float[Tensor, "b m h w"] | None = None,
    ) -> None:
        self._blocks = [_IncrementalBlock(block, num, width) for block in network.gated_blocks()]
        layers = [layer for layer in network.leave if isinstance(layer, MaskedConv2d)]
        self._leave = [IncrementalConv2d(layer, num, height, width) for layer in layers]
        self._condition, self._condition_map = condition, condition_map
        self._row = -1
        weight = layers[0].weight
        self._row_inputs = torch.zeros(num, network.channels_in, 1, width, dtype=weight.dtype, device=weight.device)

    def write(self, row: int, column: int, inputs: Float[Tensor, "b c"]) -> None:
        """Say what the input at a pixel turned out to be, where `at` was called before that was known.

        To be called before `at` of the next pixel.
        """
        self._blocks[0].write(column, inputs)
        self._row_inputs[:, :, 0, column] = inputs

    @torch.no_grad()
    def at(self, row: int, column: int, inputs: Float[Tensor, "b c"]) -> Float[Tensor, "b o"]:
        """The outputs at a pixel, given the input there, of which only earlier colours count."""
        if row != self._row:
            self._begin(row)
        self.write(row, column, inputs)
        left = inputs
        skips: Tensor | None = None
        for block in self._blocks:
            left, skip = block.at(column, left)
            skips = skip if skips is None else skips + skip
        assert skips is not None, "a network has at least one block"
        for layer in self._leave:
            skips = layer.at(row, column, F.relu(skips))
        return skips

    def _begin(self, row: int) -> None:
        """Compute the vertical stack at a row, whose inputs are those of the row before."""
        above: Tensor | None = self._row_inputs
        condition_map = None if self._condition_map is None else self._condition_map[:, :, row : row + 1]
        for block in self._blocks:
            assert above is not None, "only the last block ends the vertical stack"
            above = block.begin(above, self._condition, condition_map)
        self._row = row


@final
class _IncrementalBlock:
    """A `GatedBlock`; it keeps the rows that its vertical convolution sees and the row of its horizontal one."""

    def __init__(self, block: GatedBlock, num: int, width: int) -> None:
        self._block = block
        rows, self._reach = block.vertical.reach + 1, block.horizontal.reach
        weight = block.horizontal.weight * block.horizontal.mask
        self._weight = weight.permute(0, 2, 3, 1).flatten(1).contiguous()
        ways_out = [layer for layer in (block.skip, block.residual) if layer is not None]
        self._way_out = torch.cat([(layer.weight * layer.mask).flatten(1) for layer in ways_out])
        self._way_out_bias = torch.cat([layer.bias for layer in ways_out if layer.bias is not None])
        channels = weight.shape[1]
        self._above = torch.zeros(num, channels, rows, width, dtype=weight.dtype, device=weight.device)
        # What lies right of a pixel, left over from the row before, is never looked at.
        self._left = FeatureMap(num, channels, 1, width, margin=self._reach, like=weight)
        self._from_above = weight.new_zeros(())

    def begin(
        self,
        above: Float[Tensor, "b i one w"],
        condition: Float[Tensor, "b k"] | None,
        condition_map: Float[Tensor, "b m one w"] | None,
    ) -> Float[Tensor, "b f one w"] | None:
        """Take the next row of the vertical stack; give the row that the next block takes."""
        self._above = torch.cat((self._above[:, :, 1:], above), 2)
        seen = self._block.vertical.last_rows(self._above)
        above_now, from_above = self._block.look_up(seen, condition, condition_map)
        bias = self._block.horizontal.bias
        assert bias is not None, "a horizontal convolution has a bias"
        self._from_above = (from_above[:, :, 0] + bias[:, None]).permute(2, 0, 1).contiguous()
        return above_now

    def write(self, column: int, features: Float[Tensor, "b i"]) -> None:
        """Set a pixel's input of the horizontal stack."""
        self._left.write(0, column, features)

    def at(self, column: int, left: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b r"], Float[Tensor, "b f"]]:
        """The horizontal stack after this block (of the last: empty), and its skip connection."""
        self.write(column, left)
        window = self._left.window(0, column - self._reach, 1, self._reach + 1)
        gated = gate(F.linear(window, self._weight) + self._from_above[column], self._block.num_colours)
        out = F.linear(gated, self._way_out, self._way_out_bias)
        skip, residual = out[:, : gated.shape[1]], out[:, gated.shape[1] :]
        return (residual + left if self._block.adds_input and self._block.residual is not None else residual), skip
