"""Convolutions that see only pixels and colours that come earlier in the raster order (arXiv:1601.06759, Sec. 3.4)."""

from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

MaskKind = Literal["A", "B"]


def causal_mask(
    kind: MaskKind, kernel_size: int, channels_in: int, channels_out: int, num_colours: int
) -> Float[Tensor, "o i k k"]:
    """1 where an output feature may see an input feature, else 0.

    Around the pixel that is being predicted, with kernel size 5 and one colour:

        kind A, first layer      kind B, all others
          1 1 1 1 1                1 1 1 1 1
          1 1 1 1 1                1 1 1 1 1
          1 1 0 0 0                1 1 1 0 0
          0 0 0 0 0                0 0 0 0 0
          0 0 0 0 0                0 0 0 0 0

    At the centre, between colours in the order red, green, blue (a row sees the columns marked 1):

                 R G B                    R G B
              R  0 0 0                 R  1 0 0
              G  1 0 0                 G  1 1 0
              B  1 1 0                 B  1 1 1

    The features of a layer are cut into `num_colours` equal blocks, one for each colour in that order.

    Raises:
        ValueError: the kernel size is even, or colours do not divide a number of features.
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is {kernel_size}: a mask needs a centre, so choose an odd size")
    colour_in, colour_out = _colours(channels_in, num_colours), _colours(channels_out, num_colours)
    sees = colour_out[:, None] > colour_in if kind == "A" else colour_out[:, None] >= colour_in
    mask = torch.zeros(channels_out, channels_in, kernel_size, kernel_size)
    centre = kernel_size // 2
    mask[:, :, :centre] = 1.0
    mask[:, :, centre, :centre] = 1.0
    mask[:, :, centre, centre] = sees.to(mask.dtype)
    return mask


def _colours(num_features: int, num_colours: int) -> Int64[Tensor, " f"]:
    if num_features % num_colours:
        raise ValueError(f"{num_features} features do not fall into {num_colours} equal blocks, one for each colour")
    return torch.arange(num_features) // (num_features // num_colours)


@final
class MaskedConv2d(nn.Module):
    """A convolution that keeps height and width, with the mask of `causal_mask` on its weight."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int, *, kind: MaskKind, num_colours: int
    ) -> None:
        super().__init__()
        mask = causal_mask(kind, kernel_size, channels_in, channels_out, num_colours)
        convolution = nn.Conv2d(channels_in, channels_out, kernel_size)
        self.weight, self.bias = convolution.weight, convolution.bias
        self.padding = kernel_size // 2
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """Convolve; at every pixel only earlier ones are seen."""
        return F.conv2d(features, self.weight * self.mask, self.bias, padding=self.padding)
