"""A standard normal distribution without its tails."""

import math

import torch
from torch import Tensor


def truncated_normal(shape: tuple[int, ...], threshold: float, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Standard normal numbers, those beyond the threshold drawn again until they are within it.

    Drawn from the global generator by the inverse of the distribution function, in float64, so that nothing waits for
    the device; torch's `trunc_normal_` looks at every draw. An infinite threshold gives `torch.randn`, bit for bit.
    """
    if math.isinf(threshold):
        return torch.randn(shape, dtype=dtype, device=device)
    share = math.erf(threshold / math.sqrt(2.0))
    uniform = torch.rand(shape, dtype=torch.float64, device=device)
    values = math.sqrt(2.0) * torch.erfinv(share * (2.0 * uniform - 1.0))
    return values.clamp(-threshold, threshold).to(dtype)
