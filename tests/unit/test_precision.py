"""The arithmetic that a run asks for, and what the hardware makes of it."""

import pytest
import torch

from gen_dist.training import precision
from gen_dist.training.precision import autocast_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)], ids=["native", "emulated"]
)
def test_auto_follows_the_hardware(monkeypatch: pytest.MonkeyPatch, native: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert autocast_dtype("auto", CPU) == expected


@pytest.mark.parametrize("native", [True, False])
def test_what_is_named_is_done_whatever_the_hardware(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(precision, "computes_in_bfloat16", lambda device: native)
    assert autocast_dtype("bfloat16", CPU) == torch.bfloat16
    assert autocast_dtype("float32", CPU) == torch.float32
