"""An LSTM that visits an image line by line, all pixels of a line at once, with its own backward pass.

Autograd would keep a graph of a dozen small nodes for each line. The backward pass here does what is left of the chain
rule between lines only; slopes of the gates and gradients of the weights are computed once, for the whole map.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, slots=True)
class Sweep:
    """An order of visiting pixels, as places on the list of all pixels, row after row.

    The list has a margin of zeros: a row above the image, a pixel left and right of each row.

    Attributes:
        lines: the pixels of each line; evenly spaced, so a line is a view.
        taps: how far back on the list are the pixels whose hidden state a pixel sees, from the upper left on.
        carry: how far back is the pixel whose cell state a pixel continues.
    """

    lines: tuple[slice, ...]
    taps: tuple[int, ...]
    carry: int


def row_sweep(height: int, width: int) -> Sweep:
    """Row after row: a pixel sees the three above it and continues the cell above (arXiv:1601.06759, Sec. 3.1).

    Lines of a 3x4 image, and what the pixel * sees:

        0 0 0 0      . . . .
        1 1 1 1      x x x .
        2 2 2 2      . * . .
    """
    stride = width + 2
    starts = [(row + 1) * stride + 1 for row in range(height)]
    lines = tuple(slice(start, start + width, 1) for start in starts)
    return Sweep(lines, taps=(stride + 1, stride, stride - 1), carry=stride)


def diagonal_sweep(height: int, width: int) -> Sweep:
    """Diagonal after diagonal: a pixel sees those above and left, and continues the left cell (Sec. 3.2).

    The paper skews the map, so that diagonals become columns, and unskews it at the end. Pixels of a diagonal are
    evenly spaced on the list already, so nothing is moved, and nothing is computed for the empty corners.

        lines of a 3x4 image    the pixel * sees    skewed, pixels abcd efgh ijkl

        0 1 2 3                 . . . .             a b c d . .
        1 2 3 4                 . x . .             . e f g h .
        2 3 4 5                 x * . .             . . i j k l
    """
    stride = width + 2
    lines = []
    for diagonal in range(height + width - 1):
        top, bottom = max(0, diagonal - width + 1), min(diagonal, height - 1)
        first = (top + 1) * stride + diagonal - top + 1
        lines.append(slice(first, first + (bottom - top) * (stride - 1) + 1, stride - 1))
    return Sweep(tuple(lines), taps=(stride, 1), carry=1)


def lstm_cell(
    gates: Float[Tensor, "*batch g"], cell: Float[Tensor, "*batch h"]
) -> tuple[Float[Tensor, "*batch h"], Float[Tensor, "*batch h"]]:
    """Next hidden and cell state (Eq. 3), given the gates' inputs in the order output, forget, input, content."""
    num = cell.shape[-1]
    output, forget, admit = gates[..., : 3 * num].sigmoid().chunk(3, -1)
    cell = forget * cell + admit * gates[..., 3 * num :].tanh()
    return output * cell.tanh(), cell


def scan(gates: Float[Tensor, "d h w b g"], weight: Float[Tensor, "d i g"], sweep: Sweep) -> Float[Tensor, "d h w b f"]:
    """Hidden states of all pixels, for several independent directions that sweep alike.

    Args:
        gates: what the input says to the output, forget, input and content gates of each pixel.
        weight: of the hidden states at the taps, one tap after the other; its dtype is that of the states, for errors
            add up along a sweep.
        sweep: the order.
    """
    hidden: Tensor = _Scan.apply(gates.to(weight.dtype), weight, sweep)  # type: ignore[no-untyped-call]
    return hidden


@final
class _Scan(torch.autograd.Function):
    """`lstm_cell` along a sweep."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, sweep: Sweep) -> Tensor:
        num = gates.shape[-1] // 4
        acts = _with_margin(gates).flatten(1, 2)
        hidden, cell, squashed = (acts.new_zeros(*acts.shape[:-1], num) for _ in range(3))
        with torch.autocast(weight.device.type, enabled=False):
            for line in sweep.lines:
                gate = acts[:, line]
                seen = torch.cat([hidden[:, _back(line, tap)] for tap in sweep.taps], -1)
                gate += torch.bmm(seen.flatten(1, 2), weight).view(gate.shape)
                gate[..., : 3 * num].sigmoid_()
                gate[..., 3 * num :].tanh_()
                output, forget, admit, content = gate.chunk(4, -1)
                now = torch.mul(forget, cell[:, _back(line, sweep.carry)], out=cell[:, line]).addcmul_(admit, content)
                torch.mul(output, torch.tanh(now, out=squashed[:, line]), out=hidden[:, line])
        ctx.save_for_backward(weight, acts, hidden, cell, squashed)
        ctx.sweep, ctx.size = sweep, gates.shape[1:3]
        return _without_margin(hidden, *ctx.size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, acts, hidden, cell, squashed = ctx.saved_tensors
        sweep: Sweep = ctx.sweep
        forget = acts.chunk(4, -1)[1]
        slopes, through = _slopes(acts, cell, squashed, sweep.carry)
        to_hidden = _with_margin(from_above).flatten(1, 2)
        to_gates, to_cell = slopes, torch.zeros_like(hidden)  # line by line, slopes become gradients
        num, transposed = hidden.shape[-1], weight.transpose(1, 2).contiguous()
        for line in reversed(sweep.lines):
            now, gate = to_cell[:, line], to_gates[:, line]
            now.addcmul_(to_hidden[:, line], through[:, line])
            gate[..., :num] *= to_hidden[:, line]
            gate[..., num:].view(*now.shape[:-1], 3, num).mul_(now.unsqueeze(-2))
            torch.mul(now, forget[:, line], out=to_cell[:, _back(line, sweep.carry)])
            to_seen = torch.bmm(gate.flatten(1, 2), transposed).view(*gate.shape[:-1], -1)
            for tap, part in zip(sweep.taps, to_seen.chunk(len(sweep.taps), -1), strict=True):
                to_hidden[:, _back(line, tap)] += part
        length = hidden.shape[1]
        to_weight = [
            torch.bmm(hidden[:, : length - tap].flatten(1, 2).transpose(1, 2), to_gates[:, tap:].flatten(1, 2))
            for tap in sweep.taps
        ]
        return _without_margin(to_gates, *ctx.size), torch.cat(to_weight, 1), None


def _slopes(acts: Tensor, cell: Tensor, squashed: Tensor, carry: int) -> tuple[Tensor, Tensor]:
    """How the hidden state moves with the output gate, the cell with the other gates, and the hidden with the cell."""
    num = cell.shape[-1]
    output, _, admit, content = acts.chunk(4, -1)
    before = F.pad(cell[:, :-carry], (0, 0, 0, 0, carry, 0))
    sigmoids = acts[..., : 3 * num]
    slopes = torch.empty_like(acts)
    torch.mul(sigmoids, 1.0 - sigmoids, out=slopes[..., : 3 * num])
    for gate, factor in enumerate((squashed, before, content)):
        slopes[..., gate * num : (gate + 1) * num] *= factor
    torch.mul(admit, 1.0 - content.square(), out=slopes[..., 3 * num :])
    return slopes, output * (1.0 - squashed.square())


def _back(line: slice, distance: int) -> slice:
    return slice(line.start - distance, line.stop - distance, line.step)


def _with_margin(pixels: Float[Tensor, "d h w b f"]) -> Tensor:
    return F.pad(pixels, (0, 0, 0, 0, 1, 1, 1, 0)).contiguous()


def _without_margin(pixels: Float[Tensor, "d n b f"], height: int, width: int) -> Tensor:
    return pixels.view(len(pixels), height + 1, width + 2, *pixels.shape[2:])[:, 1:, 1:-1]
