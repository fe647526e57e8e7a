"""Steps and copies that a flag on the device can turn into nothing, without the host ever reading the flag."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor


@final
class Snapshot:
    """The values that tensors have now, to go back to.

    They are kept as one flat tensor of each dtype: a kernel for each of many small tensors would cost a GPU more time
    than all that they hold.

    Attributes:
        values: of each tensor, as views.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            self._tensors.setdefault(tensor.dtype, []).append(tensor)
        self._flat = {dtype: _flat(group) for dtype, group in self._tensors.items()}
        views = {dtype: iter(_views(self._flat[dtype], group)) for dtype, group in self._tensors.items()}
        self.values = [next(views[tensor.dtype]) for tensor in tensors]

    @torch.no_grad()
    def restore(self) -> None:
        """Set each tensor back to its value."""
        for dtype, group in self._tensors.items():
            torch._foreach_copy_(group, _views(self._flat[dtype], group))

    @torch.no_grad()
    def restore_where(self, flag: Tensor) -> None:
        """Set each tensor back to its value where the flag (a boolean scalar on the device) is raised."""
        for dtype, group in self._tensors.items():
            torch._foreach_copy_(group, _views(torch.where(flag, self._flat[dtype], _flat(group)), group))


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _views(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def masked_step(optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
    """`optimizer.step()`, except that weights and moments keep their values where the flag is raised.

    Fused optimizers take the flag themselves (`found_inf`, made for mixed precision). The others step freely and are
    set back from a copy.
    """
    if optimizer.defaults.get("fused"):
        optimizer.found_inf = flag.float()  # type: ignore[attr-defined]
        optimizer.step()
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    weights = Snapshot(parameters)
    moments = [_tensors(optimizer, parameter, flag.device) for parameter in parameters]
    copies = [{name: tensor.clone() for name, tensor in tensors.items()} for tensors in moments]
    optimizer.step()
    weights.restore_where(flag)
    with torch.no_grad():
        for parameter, copy in zip(parameters, copies, strict=True):
            for name, tensor in _tensors(optimizer, parameter, flag.device).items():
                # Moments that the first step made had been zero before it.
                tensor.copy_(torch.where(flag, copy.get(name, torch.zeros_like(tensor)), tensor))


def _tensors(optimizer: torch.optim.Optimizer, parameter: Tensor, device: torch.device) -> dict[str, Tensor]:
    """A parameter's moments; a step counter that torch keeps on the host beside a GPU is not masked."""
    state = optimizer.state[parameter]
    return {name: t for name, t in state.items() if isinstance(t, Tensor) and t.device == device}
