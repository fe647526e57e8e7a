"""Causal convolutions by shifting: kernels that lie above, or above and to the left (arXiv:1701.05517, Sec. 2).

Two streams of features say what came before a pixel. Neither has a blind spot, and no weight is masked away:

      above: the rows above          before: all earlier pixels
          x x x x x                      x x x x x
          x x x x x                      x x x x x
          . . o . .                      x x o . .

A kernel of either stream sees, of features that are causal already (3 wide and 2 wide, both 2 high; o is its output):

          x x x                          x x
          x o x                          x o
"""

from abc import ABC, abstractmethod
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Stream = Literal["above", "before"]
KERNELS: dict[Stream, tuple[int, int]] = {"above": (2, 3), "before": (2, 2)}
# Keeps a feature that does not vary at all from getting an enormous gain.
MIN_VARIANCE = 1e-2


def concat_elu(features: Float[Tensor, "b f *place"]) -> Float[Tensor, "b g *place"]:
    """ELU of the features and of their negatives, twice as many (in the manner of arXiv:1603.05201)."""
    return F.elu(torch.cat([features, -features], 1), inplace=True)  # in the new tensor


def shift_down(features: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
    """Each row gets what belonged to the row above it, the first one zeros."""
    return F.pad(features[:, :, :-1], (0, 0, 1, 0))


def shift_right(features: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
    """Each column gets what belonged to the one left of it, the first one zeros."""
    return F.pad(features[:, :, :, :-1], (1, 0))


class WeightNormalised(nn.Module, ABC):
    """A convolution whose kernels are a direction times a length (T. Salimans, D. Kingma 2016, arXiv:1602.07868).

    Args:
        channels_in: features that are read.
        channels_out: features that are made.
        stream: on which side a kernel wider than 1 lies.
        kernel: height and width.
        initial_deviation: standard deviation of each output feature after `initialise`.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stream: Stream,
        kernel: tuple[int, int],
        *,
        initial_deviation: float = 1.0,
    ) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels_in, channels_out, kernel)
        self.direction = convolution.weight
        self.length = nn.Parameter(convolution.weight.detach().flatten(1).norm(dim=1))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.stream, self.kernel = stream, kernel
        self.initial_deviation = initial_deviation

    @property
    def weight(self) -> Float[Tensor, "o i kh kw"]:
        """Kernels of length `length` along `direction`."""
        scale: Tensor = self.length / self.direction.flatten(1).norm(dim=1)
        return self.direction * scale[:, None, None, None]

    @torch.no_grad()
    def initialise(self, features: Float[Tensor, "b i h w"]) -> None:
        """Set length and bias so that each output feature of this batch has mean 0 and the initial deviation."""
        self.length.copy_(self.direction.flatten(1).norm(dim=1))
        self.bias.zero_()
        outputs = self.forward(features)  # not self(...), which would call the hook that called this
        gain = self.initial_deviation * (outputs.var((0, 2, 3), correction=0) + MIN_VARIANCE).rsqrt()
        self.bias.copy_(-gain * outputs.mean((0, 2, 3)))
        self.length.mul_(gain)

    @abstractmethod
    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o y x"]:
        """Convolve."""


@final
class ShiftedConv2d(WeightNormalised):
    """A causal convolution; with `stride` 2, output (i, j) stands where input (2 i, 2 j) stood.

    An odd side is halved to the larger half, so every pixel is still seen.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stream: Stream,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        initial_deviation: float = 1.0,
    ) -> None:
        super().__init__(channels_in, channels_out, stream, kernel, initial_deviation=initial_deviation)
        self.stride = stride

    @property
    def reach(self) -> tuple[int, int, int]:
        """How far a kernel reaches to the left, to the right, and up."""
        height, width = self.kernel
        return (width // 2, width // 2, height - 1) if self.stream == "above" else (width - 1, 0, height - 1)

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o y x"]:
        """Convolve; outside the image features are zero."""
        left, right, up = self.reach
        if left or right or up:
            features = F.pad(features, (left, right, up, 0))
        return F.conv2d(features, self.weight, self.bias, stride=self.stride)


@final
class ShiftedUpsampling(WeightNormalised):
    """A transposed convolution of stride 2: what stands at (i, j) goes to (2 i, 2 j) and the three pixels after it.

    In the stream above it also goes one column to the left: there everything stems from rows above.
    """

    def __init__(self, channels: int, stream: Stream) -> None:
        super().__init__(channels, channels, stream, KERNELS[stream])

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o y x"]:
        """Twice as high and wide."""
        height, width = features.shape[2:]
        left = 1 if self.stream == "above" else 0
        spread = F.conv_transpose2d(features, self.weight.transpose(0, 1), self.bias, stride=2)
        return spread[:, :, : 2 * height, left : left + 2 * width]


@final
class GatedResidual(nn.Module):
    """A gated residual block of one stream (arXiv:1701.05517, Sec. 2.5; published implementation).

    Args:
        features: of the stream.
        stream: which.
        shortcut_features: of what is shown to the block besides its stream; 0 for nothing.
        dropout: probability of dropping a feature between the two convolutions.
    """

    def __init__(self, features: int, stream: Stream, shortcut_features: int, dropout: float) -> None:
        super().__init__()
        kernel = KERNELS[stream]
        self.look = ShiftedConv2d(2 * features, features, stream, kernel)
        self.shortcut = ShiftedConv2d(2 * shortcut_features, features, stream, (1, 1)) if shortcut_features else None
        self.gate = ShiftedConv2d(2 * features, 2 * features, stream, kernel, initial_deviation=0.1)
        self.dropout = dropout

    def forward(
        self, stream: Float[Tensor, "b f h w"], shown: Float[Tensor, "b s h w"] | None
    ) -> Float[Tensor, "b f h w"]:
        """The stream plus what the block adds to it."""
        hidden = self.look(concat_elu(stream))
        if self.shortcut is not None and shown is not None:
            hidden = hidden + self.shortcut(concat_elu(shown))
        hidden = F.dropout(concat_elu(hidden), self.dropout, self.training)
        added: Tensor
        added, gate = self.gate(hidden).chunk(2, 1)
        return stream + added * torch.sigmoid(gate)
