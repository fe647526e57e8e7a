"""Steps that a flag on the device can turn into nothing, without the host ever reading the flag."""

import torch
from torch import Tensor


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
    weights = [parameter.detach().clone() for parameter in parameters]
    moments = [_tensors(optimizer, parameter, flag.device) for parameter in parameters]
    copies = [{name: tensor.clone() for name, tensor in tensors.items()} for tensors in moments]
    optimizer.step()
    with torch.no_grad():
        for parameter, weight, copy in zip(parameters, weights, copies, strict=True):
            parameter.copy_(torch.where(flag, weight, parameter))
            for name, tensor in _tensors(optimizer, parameter, flag.device).items():
                # Moments that the first step made had been zero before it.
                tensor.copy_(torch.where(flag, copy.get(name, torch.zeros_like(tensor)), tensor))


def _tensors(optimizer: torch.optim.Optimizer, parameter: Tensor, device: torch.device) -> dict[str, Tensor]:
    """A parameter's moments; a step counter that torch keeps on the host beside a GPU is not masked."""
    state = optimizer.state[parameter]
    return {name: t for name, t in state.items() if isinstance(t, Tensor) and t.device == device}
