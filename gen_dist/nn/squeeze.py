"""Trading resolution for channels, without loss (arXiv:1605.08803, Sec. 3.6)."""

from typing import final

from jaxtyping import Float, Shaped
from torch import Tensor, nn


def squeeze(images: Shaped[Tensor, "b c h w"]) -> Shaped[Tensor, "b cc hh ww"]:
    """Each 2x2 block becomes four times the channels of one pixel; height and width must be even.

    One channel of 4x4 and its four channels of 2x2:

         0  1  2  3
         4  5  6  7     ->    0  2     1  3     4  6     5  7
         8  9 10 11           8 10     9 11    12 14    13 15
        12 13 14 15

    The first half of the channels holds the upper rows of the blocks, so that a mask over channels does not repeat
    what a checkerboard over pixels did before. Several channels keep their order inside each of the four parts.
    """
    num, channels, height, width = images.shape
    blocks = images.reshape(num, channels, height // 2, 2, width // 2, 2)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(num, 4 * channels, height // 2, width // 2)


def unsqueeze(images: Shaped[Tensor, "b cc hh ww"]) -> Shaped[Tensor, "b c h w"]:
    """The inverse of `squeeze`."""
    num, channels, height, width = images.shape
    blocks = images.reshape(num, 2, 2, channels // 4, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(num, channels // 4, 2 * height, 2 * width)


@final
class Squeeze(nn.Module):
    """`squeeze` as a layer of a flow."""

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b cc hh ww"], Float[Tensor, " b"]]:
        """Output and log-determinant, which is 0."""
        return squeeze(values), values.new_zeros(len(values))

    def inverse(self, values: Float[Tensor, "b cc hh ww"]) -> Float[Tensor, "b c h w"]:
        """The values that `forward` maps here."""
        return unsqueeze(values)
