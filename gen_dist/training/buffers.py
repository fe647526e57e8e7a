"""A learner's buffers as one piece of memory: what a step does with all of them costs a kernel, not one for each."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

ALIGNMENT_BYTES = 64


@final
class Buffers:
    """Buffers that have been moved into one flat tensor of each dtype, of which each is a view from then on.

    Attributes:
        floats: the flat tensors of floating point.
        others: those of counters and flags.
    """

    def __init__(self, buffers: Sequence[Tensor]) -> None:
        groups: dict[torch.dtype, list[Tensor]] = {}
        for buffer in buffers:
            groups.setdefault(buffer.dtype, []).append(buffer)
        flats = [_moved(group) for group in groups.values()]
        self.floats = [flat for flat in flats if flat.is_floating_point()]
        self.others = [flat for flat in flats if not flat.is_floating_point()]

    def values(self) -> list[Tensor]:
        """Copies of what they hold, first of `floats`, then of `others`."""
        return [flat.clone() for flat in self._flats]

    def restore(self, values: Sequence[Tensor]) -> None:
        """Set them back to what `values` returned."""
        for flat, value in zip(self._flats, values, strict=True):
            flat.copy_(value)

    def restore_where(self, flag: Tensor, values: Sequence[Tensor]) -> None:
        """The same where the flag (a boolean scalar on the device) is raised."""
        for flat, value in zip(self._flats, values, strict=True):
            torch.where(flag, value, flat, out=flat)

    @property
    def _flats(self) -> list[Tensor]:
        return [*self.floats, *self.others]


def _moved(buffers: Sequence[Tensor]) -> Tensor:
    """The flat tensor, with zeros between the buffers that nobody reads.

    Each begins at an address as good as one of its own, so what is computed with it is rounded as there.
    """
    step = ALIGNMENT_BYTES // buffers[0].element_size()
    rooms = [-(-buffer.numel() // step) * step for buffer in buffers]
    flat = buffers[0].new_zeros(sum(rooms))
    for buffer, room in zip(buffers, torch.split(flat, rooms), strict=True):
        part = room[: buffer.numel()].view(buffer.shape)
        buffer.data = part.copy_(buffer.detach())
    return flat
