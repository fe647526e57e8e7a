"""The two LSTM layers of PixelRNN (van den Oord et al. 2016, arXiv:1601.06759, Sec. 3.1 and 3.2).

What a pixel's gates take from the layer's input is masked as in `gen_dist.nn.masked`: each colour's share of a gate
sees its own and earlier colours. What they take from states lies at earlier pixels, so it needs no mask.
"""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.masked import causal_mask
from gen_dist.nn.scan import diagonal_sweep, row_sweep, scan

_FORGET_BIAS = 1.0


@final
class InputToState(nn.Module):
    """What the input says to the gates: a 1 x `kernel_size` convolution with mask B, for the whole map at once.

    Mask B hides what is right of a pixel, so those columns of the kernel are not kept: of three, two remain.

    Args:
        channels_in: features of the input.
        hidden: features of the state.
        kernel_size: odd.
        num_directions: LSTMs that read the same input.
        num_colours: cut input and each gate into equal blocks.
    """

    def __init__(
        self, channels_in: int, hidden: int, kernel_size: int, *, num_directions: int, num_colours: int
    ) -> None:
        super().__init__()
        self.num_directions, self.reach = num_directions, kernel_size // 2
        num = num_directions * 4
        convolution = nn.Conv2d(channels_in, num * hidden, (1, self.reach + 1))
        self.weight, self.bias = convolution.weight, convolution.bias
        assert self.bias is not None
        with torch.no_grad():
            # A forget gate that starts open lets gradients pass (R. Jozefowicz et al. 2015, Sec. 2.2).
            self.bias.view(num_directions, 4, hidden)[:, 1] += _FORGET_BIAS
        mask = causal_mask("B", kernel_size, channels_in, hidden, num_colours)
        self.mask: Tensor
        seen = mask[:, :, self.reach : self.reach + 1, : self.reach + 1]
        self.register_buffer("mask", seen.repeat(num, 1, 1, 1), persistent=False)

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "d h w b g"]:
        """Gates in the order that `scan` wants, direction by direction."""
        gates = F.conv2d(F.pad(features, (self.reach, 0)), self.weight * self.mask, self.bias)
        num, _, height, width = gates.shape
        return gates.view(num, self.num_directions, -1, height, width).permute(1, 3, 4, 0, 2)


@final
class RowLSTM(nn.Module):
    """Row by row: gates see the input left and here, and the states of the three pixels above.

    What a layer sees of its input, from the pixel * : a triangle, and one pixel more to the left of each row.

        x x x x x x .
        . x x x x . .
        . . x * . . .
    """

    def __init__(self, channels_in: int, hidden: int, *, num_colours: int) -> None:
        super().__init__()
        self.input_to_state = InputToState(channels_in, hidden, 3, num_directions=1, num_colours=num_colours)
        self.state_to_state = _state_to_state(1, 3, hidden)

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b f h w"]:
        """Hidden states; one step per row."""
        sweep = row_sweep(*features.shape[2:])
        return scan(self.input_to_state(features), self.state_to_state, sweep)[0].permute(2, 3, 0, 1)


@final
class DiagonalBiLSTM(nn.Module):
    """Two LSTMs along the diagonals, one from the left and one from the right, that see everything above.

    The one from the right sees pixels to the right in its own row, which are in the future. So what it says at a pixel
    counts for the pixel below, as the paper shifts its output map down by one row.

        from the left    from the right    shifted
        x x x . .        . . x x x         . . x x x
        x x x . .        . . x x x         . . x x x
        x x * . .        . . * x x         . . * . .
    """

    def __init__(self, channels_in: int, hidden: int, *, num_colours: int) -> None:
        super().__init__()
        self.input_to_state = InputToState(channels_in, hidden, 1, num_directions=2, num_colours=num_colours)
        self.state_to_state = _state_to_state(2, 2, hidden)

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b f h w"]:
        """Sums of both hidden states; one step per diagonal, for both at once."""
        from_left, from_right = self.input_to_state(features)
        gates = torch.stack((from_left, from_right.flip(1)))
        hidden = scan(gates, self.state_to_state, diagonal_sweep(*features.shape[2:]))
        from_above = F.pad(hidden[1, :-1].flip(1), (0, 0, 0, 0, 0, 0, 1, 0))
        return (hidden[0] + from_above).permute(2, 3, 0, 1)


def _state_to_state(num_directions: int, num_taps: int, hidden: int) -> nn.Parameter:
    """Weights of the states at the taps, initialised as a convolution's."""
    fan_in = num_taps * hidden
    return nn.Parameter(torch.empty(num_directions, fan_in, 4 * hidden).uniform_(-(fan_in**-0.5), fan_in**-0.5))
