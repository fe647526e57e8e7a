"""A U-Net: an encoder, a decoder, and a skip from each layer of the one to its mirror image in the other.

O. Ronneberger, P. Fischer, T. Brox (2015), arXiv:1505.04597, in the form of Isola et al. 2017, arXiv:1611.07004.

An image of 28 x 28 passes 14, 7, 3 and 1, and comes back through 3, 7 and 14, where it meets the encoder's feature maps
of the same size: they are concatenated.
"""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_MOST_DOUBLINGS = 3
_MOST_NOISY = 3


def unet_depth(height: int, width: int) -> int:
    """Halvings (rounded down) after which the shorter side is 1 pixel: 256 takes 8, 28 takes 4 (14, 7, 3, 1).

    Raises:
        ValueError: there is nothing to halve.
    """
    depth = min(height, width).bit_length() - 1
    if depth < 1:
        raise ValueError(f"images of {height} x {width} pixels can't be halved: a U-Net needs at least 2 x 2")
    return depth


@final
class UNet(nn.Module):
    """Maps images to feature maps of the same size, whatever the size: odd sides are rounded down and restored.

    Encoder and decoder have kernels of 4 and stride 2. Features double with every layer, up to eight times `features`.
    All layers are normalised per image (see `gen_dist/models/gan/pix2pix.py`) but the first, the bottleneck, which may
    be a single pixel, and the last. Layers of the decoder next to the bottleneck, half of them but three at most, are
    followed by dropout that never ends: it is the network's noise.

    Args:
        num_inputs: channels of the images.
        num_outputs: channels of the output.
        features: of the first layer.
        depth: layers of the encoder, and of the decoder.
        dropout: probability, in [0, 1).
    """

    def __init__(self, num_inputs: int, num_outputs: int, *, features: int, depth: int, dropout: float) -> None:
        super().__init__()
        widths = [features << min(index, _MOST_DOUBLINGS) for index in range(depth)]
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for index, width in enumerate(widths):
            plain = index in (0, depth - 1)
            convolution = nn.Conv2d(num_inputs if index == 0 else widths[index - 1], width, 4, 2, 1, bias=plain)
            self.encoder.append(nn.Sequential(convolution, nn.Identity() if plain else _normalization(width)))
        for index in reversed(range(depth)):
            width = widths[index] if index == depth - 1 else 2 * widths[index]  # all but the bottleneck have a skip
            noise = dropout if depth - 1 - index < min(_MOST_NOISY, depth // 2) else 0.0
            self.decoder.append(_Doubling(width, widths[index - 1] if index else num_outputs, index == 0, noise))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The output of the last layer, without a non-linearity."""
        skips = [images]
        for layer in self.encoder:
            skips.append(layer(skips[-1] if len(skips) == 1 else F.leaky_relu(skips[-1], 0.2)))
        values = skips.pop()
        for layer in self.decoder:
            skip = skips.pop()
            values = layer(F.relu(values), skip)
            if skips:
                values = torch.cat([values, skip], dim=1)
        return values


@final
class _Doubling(nn.Module):
    """One layer of the decoder: to the size of its skip, normalised unless it is the last, and noisy."""

    def __init__(self, num_inputs: int, num_outputs: int, last: bool, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(num_inputs, num_outputs, 4, 2, 1, bias=last)
        self.normalization = nn.Identity() if last else _normalization(num_outputs)
        self.dropout = dropout

    def forward(self, values: Float[Tensor, "b c i j"], skip: Float[Tensor, "b s h w"]) -> Float[Tensor, "b d h w"]:
        values = self.normalization(self.convolution(values, output_size=skip.shape[2:]))
        return F.dropout(values, self.dropout, training=True) if self.dropout else values


def _normalization(num_channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(num_channels, affine=True)
