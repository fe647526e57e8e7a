"""One pixel at a time: what a masked convolution computes at one position, from inputs that are kept as they come.

Drawing an image calls a network once per pixel. Nearly all it computes then was computed before: causality says that
a feature never changes once its pixel's turn is over. So each convolution keeps its input map and computes one column
of features per pixel (T. Le Paine et al. 2016, arXiv:1611.09482; P. Ramachandran et al. 2017, arXiv:1704.06001).
"""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gen_dist.nn.masked import MaskedConv2d


@final
class FeatureMap:
    """A feature map that is filled pixel by pixel, channels last; what is not written yet is zero, as padding is.

    Args:
        num: images.
        channels: features of a pixel.
        height: rows.
        width: columns.
        margin: zeros around the map, so that a window may reach over the edge.
        like: gives dtype and device.
    """

    def __init__(self, num: int, channels: int, height: int, width: int, *, margin: int, like: Tensor) -> None:
        self.margin = margin
        shape = (num, height + 2 * margin, width + 2 * margin, channels)
        self.values = torch.zeros(shape, dtype=like.dtype, device=like.device)

    def write(self, row: int, column: int, features: Float[Tensor, "b f"]) -> None:
        """Set one pixel's features; a later call for the same pixel replaces them."""
        self.values[:, row + self.margin, column + self.margin] = features

    def window(self, row: int, column: int, height: int, width: int) -> Float[Tensor, "b hwf"]:
        """The features of a window flat, its upper left corner at (row, column), which may lie in the margin."""
        top, left = row + self.margin, column + self.margin
        return self.values[:, top : top + height, left : left + width].flatten(1)


@final
class IncrementalConv2d:
    """A `MaskedConv2d` at one pixel at a time, called in raster order, perhaps several times for the same pixel."""

    def __init__(self, layer: MaskedConv2d, num: int, height: int, width: int) -> None:
        centre, side = layer.padding, 2 * layer.padding + 1
        weight = (layer.weight * layer.mask)[:, :, : centre + 1]  # the rows below the centre are all masked
        self._weight = weight.permute(0, 2, 3, 1).flatten(1).contiguous()
        self._bias = layer.bias
        self._centre, self._side = centre, side
        channels = layer.weight.shape[1]
        self._map = FeatureMap(num, channels, height, width, margin=centre, like=weight) if centre else None

    def write(self, row: int, column: int, features: Float[Tensor, "b i"]) -> None:
        """Say what the input at a pixel turned out to be, where `at` was called before that was known."""
        if self._map is not None:
            self._map.write(row, column, features)

    def at(self, row: int, column: int, features: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """The output at a pixel, given the input there."""
        if self._map is not None:
            self._map.write(row, column, features)
            features = self._map.window(row - self._centre, column - self._centre, self._centre + 1, self._side)
        return F.linear(features, self._weight, self._bias)
