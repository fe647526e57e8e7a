"""The network of PixelCNN++: two streams of gated residual blocks, at several resolutions and back.

With three resolutions and shortcuts, both streams each (arXiv:1701.05517, Fig. 2):

    h x w      enter -> blocks ------------------------------> blocks -> leave
                          | halve                           double |
    h/2 x w/2             blocks ------------------> blocks -------
                          | halve              double |
    h/4 x w/4             blocks ------> blocks ------
"""

from typing import NamedTuple, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.shifted import (
    KERNELS,
    GatedResidual,
    ShiftedConv2d,
    ShiftedUpsampling,
    Stream,
    shift_down,
    shift_right,
)


class Streams(NamedTuple):
    """Features of what came before each pixel: of the rows above it, and of all earlier pixels."""

    above: Tensor
    before: Tensor


@final
class Enter(nn.Module):
    """From the image to the two streams, which do not see the pixel itself."""

    def __init__(self, colours: int, features: int) -> None:
        super().__init__()
        # A channel of ones tells the image from what lies outside it.
        self.above = ShiftedConv2d(colours + 1, features, "above", KERNELS["above"])
        self.row_above = ShiftedConv2d(colours + 1, features, "above", (1, 3))
        self.left = ShiftedConv2d(colours + 1, features, "before", (2, 1))

    def forward(self, image: Float[Tensor, "b c h w"]) -> Streams:
        """Shift, so that row r of the first stream sees rows up to r - 1, and pixel (r, c) of the other (r, c - 1)."""
        marked = mark_inside(image)
        before = shift_down(self.row_above(marked)) + shift_right(self.left(marked))
        return Streams(shift_down(self.above(marked)), before)


@final
class OneStream(nn.Module):
    """All layers of one stream behind `Enter`.

    Args:
        stream: which.
        features: of the stream.
        num_blocks: residual blocks at each resolution on the way down.
        num_scales: resolutions.
        dropout: inside a block.
    """

    def __init__(self, stream: Stream, features: int, num_blocks: int, num_scales: int, dropout: float) -> None:
        super().__init__()
        # The stream of earlier pixels is shown the other stream, everywhere.
        shown = 0 if stream == "above" else features
        last = num_scales - 1

        def blocks(num: int, shortcut_features: int) -> nn.ModuleList:
            return nn.ModuleList(GatedResidual(features, stream, shortcut_features, dropout) for _ in range(num))

        self.num_blocks = num_blocks
        self.down = blocks(num_scales * num_blocks, shown)
        self.up = blocks(num_scales * num_blocks + last, features + shown)
        kernel = KERNELS[stream]
        self.halving = nn.ModuleList(ShiftedConv2d(features, features, stream, kernel, stride=2) for _ in range(last))
        self.doubling = nn.ModuleList(ShiftedUpsampling(features, stream) for _ in range(last))

    def down_at(self, level: int) -> nn.ModuleList:
        """Blocks of a resolution on the way to smaller ones."""
        return self.down[level * self.num_blocks : (level + 1) * self.num_blocks]

    def up_at(self, level: int) -> nn.ModuleList:
        """Blocks of a resolution on the way back: one more than on the way down, but for the smallest."""
        return self.up[level * (self.num_blocks + 1) : (level + 1) * (self.num_blocks + 1)]


@final
class TwoStreamNetwork(nn.Module):
    """Outputs for every pixel, given the pixels before it.

    Args:
        colours: of an image.
        num_outputs: for each pixel.
        features: of each stream.
        num_blocks: residual blocks of each stream at each resolution, on the way down.
        num_scales: resolutions; each halves the one before, odd sides to the larger half.
        dropout: inside a block.
    """

    def __init__(
        self, colours: int, num_outputs: int, *, features: int, num_blocks: int, num_scales: int, dropout: float
    ) -> None:
        super().__init__()
        self.num_scales = num_scales
        self.enter = Enter(colours, features)
        self.above = OneStream("above", features, num_blocks, num_scales, dropout)
        self.before = OneStream("before", features, num_blocks, num_scales, dropout)
        self.leave = ShiftedConv2d(features, num_outputs, "before", (1, 1))

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        """Down to the smallest resolution and back, every layer's features shown again on the way back."""
        streams: Streams = self.enter(image)
        kept = [streams]
        for level in range(self.num_scales):
            if level:
                streams = self._halve(streams, level - 1)
                kept.append(streams)
            for above, before in zip(self.above.down_at(level), self.before.down_at(level), strict=True):
                rows = above(streams.above, None)
                streams = Streams(rows, before(streams.before, rows))
                kept.append(streams)
        streams = kept.pop()
        for level in reversed(range(self.num_scales)):
            if level < self.num_scales - 1:
                streams = self._double(streams, level, like=kept[-1].before)
            for above, before in zip(self.above.up_at(level), self.before.up_at(level), strict=True):
                shown = kept.pop()
                rows = above(streams.above, shown.above)
                streams = Streams(rows, before(streams.before, torch.cat([rows, shown.before], 1)))
        assert not kept
        return self._leave(streams.before)

    def _halve(self, streams: Streams, level: int) -> Streams:
        return Streams(self.above.halving[level](streams.above), self.before.halving[level](streams.before))

    def _double(self, streams: Streams, level: int, *, like: Tensor) -> Streams:
        height, width = like.shape[2:]
        above, before = self.above.doubling[level](streams.above), self.before.doubling[level](streams.before)
        return Streams(above[:, :, :height, :width], before[:, :, :height, :width])

    def _leave(self, features: Tensor) -> Tensor:
        # A mean in bfloat16 is off by up to half a grey level, so the last layer leaves autocast.
        with torch.autocast(features.device.type, enabled=False):
            outputs: Tensor = self.leave(F.elu(features.to(self.leave.bias.dtype)))
        return outputs


def mark_inside(image: Float[Tensor, "b c *place"]) -> Float[Tensor, "b d *place"]:
    """The image with one more channel, of ones."""
    return torch.cat([image, torch.ones_like(image[:, :1])], 1)
