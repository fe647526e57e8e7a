"""In which arithmetic the networks of a run compute, and on which hardware that saves time."""

from typing import Literal

import torch

Precision = Literal["auto", "bfloat16", "float32"]


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What networks compute in: "auto" means bfloat16 where the device has it in hardware and float32 elsewhere.

    A processor that only emulates bfloat16 takes several times as long with it as with float32.
    """
    if precision == "float32":
        return torch.float32
    return torch.bfloat16 if precision == "bfloat16" or computes_in_bfloat16(device) else torch.float32


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
