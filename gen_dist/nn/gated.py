"""The network of Gated PixelCNN: two stacks of gated convolutions that together see every earlier pixel.

A. van den Oord et al. 2016, Conditional Image Generation with PixelCNN Decoders, arXiv:1606.05328, Sec. 2. What the
pixel x sees through kernels of size 3 and two blocks, by way of the vertical stack (v) and of the horizontal one (h):

    v v v v v
    v v v v v
    h h x . .
    . . . . .

It works on any map (pixels, embedded codes); `gen_dist.nn.incremental_gated` evaluates it pixel by pixel.
"""

from itertools import pairwise
from typing import cast, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.masked import MaskedConv2d, MaskKind, causal_mask


@final
class VerticalConv2d(nn.Module):
    """The upper half of an n x n convolution, its own row included: n // 2 + 1 rows, n columns."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int) -> None:
        super().__init__()
        self.reach = kernel_size // 2
        convolution = nn.Conv2d(channels_in, channels_out, (self.reach + 1, kernel_size))
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """Convolve; row r sees the rows up to r."""
        return self.last_rows(F.pad(features, (0, 0, self.reach, 0)))

    def last_rows(self, features: Float[Tensor, "b i r w"]) -> Float[Tensor, "b o s w"]:
        """The rows that have all the rows they see: all but the first n // 2."""
        return F.conv2d(features, self.weight, self.bias, padding=(0, self.reach))


@final
class HorizontalConv2d(nn.Module):
    """A masked 1 x n convolution, without the right half that its mask would hide."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int, *, kind: MaskKind, num_colours: int
    ) -> None:
        super().__init__()
        self.reach = kernel_size // 2
        mask = causal_mask(kind, kernel_size, channels_in, channels_out, num_colours)
        convolution = nn.Conv2d(channels_in, channels_out, (1, self.reach + 1))
        self.weight, self.bias = convolution.weight, convolution.bias
        self.mask: Tensor
        row = mask[:, :, self.reach : self.reach + 1, : self.reach + 1].contiguous()
        self.register_buffer("mask", row, persistent=False)

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """Convolve; at every pixel only those to its left are seen, and what the mask shows of its own colours."""
        return F.conv2d(F.pad(features, (self.reach, 0, 0, 0)), self.weight * self.mask, self.bias)


@final
class Conditioning(nn.Module):
    """Adds what is known from elsewhere to the features before a gate: V h of a vector, V * s of a map (Eq. 4, 5)."""

    def __init__(self, num_conditions: int, map_features: int, channels_out: int) -> None:
        super().__init__()
        self.of_vector = nn.Linear(num_conditions, channels_out, bias=False) if num_conditions else None
        self.of_map = nn.Conv2d(map_features, channels_out, 1, bias=False) if map_features else None

    def forward(
        self,
        features: Float[Tensor, "b o h w"],
        condition: Float[Tensor, "b k"] | None,
        condition_map: Float[Tensor, "b m h w"] | None,
    ) -> Float[Tensor, "b o h w"]:
        """The features plus linear functions of the conditions."""
        if self.of_vector is not None:
            assert condition is not None, "the network was built with num_conditions: it needs a condition"
            features = features + self.of_vector(condition)[:, :, None, None]
        if self.of_map is not None:
            assert condition_map is not None, "the network was built with map_features: it needs a condition map"
            features = features + self.of_map(condition_map)
        return features


def gate(features: Float[Tensor, "b g ..."], num_colours: int) -> Float[Tensor, "b f ..."]:
    """Tanh of one half of the features times the sigmoid of the other, within each colour's block (Eq. 2)."""
    halves = features.reshape(len(features), num_colours, 2, -1, *features.shape[2:])
    return (halves[:, :, 0].tanh() * halves[:, :, 1].sigmoid()).flatten(1, 2)


@final
class GatedBlock(nn.Module):
    """One layer of both stacks (Fig. 2).

    Args:
        channels_in: features that come in, of either stack.
        features: features that go out, of either stack.
        kernel_size: odd.
        kind: of the horizontal mask.
        num_colours: blocks of features in the horizontal stack.
        num_conditions: length of the condition vector, 0 for none.
        map_features: feature maps of the spatial condition, 0 for none.
        last: nothing comes after, so only the way to the outputs is built.
    """

    def __init__(
        self,
        channels_in: int,
        features: int,
        kernel_size: int,
        *,
        kind: MaskKind,
        num_colours: int,
        num_conditions: int,
        map_features: int,
        last: bool,
    ) -> None:
        super().__init__()
        self.num_colours = num_colours
        self.vertical = VerticalConv2d(channels_in, 2 * features, kernel_size)
        self.horizontal = HorizontalConv2d(channels_in, 2 * features, kernel_size, kind=kind, num_colours=num_colours)
        self.downwards = nn.Conv2d(2 * features, 2 * features, 1, bias=False)
        self.condition_horizontal = Conditioning(num_conditions, map_features, 2 * features)
        self.condition_vertical = None if last else Conditioning(num_conditions, map_features, 2 * features)
        self.residual = None if last else MaskedConv2d(features, features, 1, kind="B", num_colours=num_colours)
        self.skip = MaskedConv2d(features, features, 1, kind="B", num_colours=num_colours)
        self.adds_input = kind == "B"  # not in the first block, whose input is the image

    def forward(
        self,
        above: Float[Tensor, "b i h w"],
        left: Float[Tensor, "b i h w"],
        condition: Float[Tensor, "b k"] | None,
        condition_map: Float[Tensor, "b m h w"] | None,
    ) -> tuple[Float[Tensor, "b f h w"] | None, Float[Tensor, "b f h w"] | None, Float[Tensor, "b f h w"]]:
        """Both stacks after this layer (None after the last), and what it adds to the sum of skip connections."""
        above_now, from_above = self.look_up(self.vertical(above), condition, condition_map)
        gated = gate(self.horizontal(left) + from_above, self.num_colours)
        left_now = None
        if self.residual is not None:
            left_now = self.residual(gated) + left if self.adds_input else self.residual(gated)
        return above_now, left_now, self.skip(gated)

    def look_up(
        self,
        seen: Float[Tensor, "b g h w"],
        condition: Float[Tensor, "b k"] | None,
        condition_map: Float[Tensor, "b m h w"] | None,
    ) -> tuple[Float[Tensor, "b f h w"] | None, Float[Tensor, "b g h w"]]:
        """From the vertical convolution: the vertical stack after this layer, and what goes into the horizontal gate.

        That includes the conditions. The vertical stack at row r has seen the rows before r only, with all their
        colours, so there is nothing to mask on the way down.
        """
        from_above = self.condition_horizontal(self.downwards(seen), condition, condition_map)
        if self.condition_vertical is None:
            return None, from_above
        return gate(self.condition_vertical(seen, condition, condition_map), self.num_colours), from_above


@final
class GatedNetwork(nn.Module):
    """A function of a map whose outputs at a pixel depend on all earlier pixels (and colours) in reach.

    Args:
        channels_in: channels of the input map.
        features: feature maps of each stack, a multiple of the colours.
        num_blocks: gated blocks with mask B after the first, which has mask A.
        num_outputs: for each pixel, a multiple of the colours, colour by colour.
        num_colours: equal blocks of the input channels that come one after the other; 1 hides the pixel as a whole.
        num_conditions: length of the vector that all outputs may depend on, 0 for none.
        map_features: feature maps of a spatial condition, 0 for none.
        first_kernel_size: of the block with mask A; odd.
        kernel_size: of the others; odd.
        output_features: feature maps of the 1x1 layer before the output, a multiple of the colours.
    """

    def __init__(
        self,
        channels_in: int,
        features: int,
        num_blocks: int,
        num_outputs: int,
        *,
        num_colours: int,
        num_conditions: int = 0,
        map_features: int = 0,
        first_kernel_size: int = 7,
        kernel_size: int = 3,
        output_features: int = 64,
    ) -> None:
        super().__init__()
        self.channels_in, self.num_outputs = channels_in, num_outputs
        self.blocks = nn.ModuleList(
            GatedBlock(
                features if number else channels_in,
                features,
                kernel_size if number else first_kernel_size,
                kind="B" if number else "A",
                num_colours=num_colours,
                num_conditions=num_conditions,
                map_features=map_features,
                last=number == num_blocks,
            )
            for number in range(num_blocks + 1)
        )
        widths = (features, output_features, num_outputs)
        self.leave = nn.ModuleList(
            MaskedConv2d(before, after, 1, kind="B", num_colours=num_colours) for before, after in pairwise(widths)
        )

    def gated_blocks(self) -> list[GatedBlock]:
        """The blocks, from the input on."""
        return [cast(GatedBlock, block) for block in self.blocks]

    def forward(
        self,
        inputs: Float[Tensor, "b c h w"],
        condition: Float[Tensor, "b k"] | None = None,
        condition_map: Float[Tensor, "b m h w"] | None = None,
    ) -> Float[Tensor, "b o h w"]:
        """Outputs at every pixel. The condition of classes is their one-hot vector."""
        above: Tensor | None = F.pad(inputs, (0, 0, 1, 0))[:, :, :-1]  # row r starts from row r - 1
        left: Tensor | None = inputs
        skips = []
        for block in self.blocks:
            above, left, skip = block(above, left, condition, condition_map)
            skips.append(skip)
        stream = torch.stack(skips).sum(0)
        for layer in self.leave:
            stream = layer(F.relu(stream))
        return stream
