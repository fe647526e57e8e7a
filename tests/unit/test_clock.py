"""The clock of equal budgets counts computing, and not waiting."""

import time

import pytest
import torch

from gen_dist.training.clock import fair_clock


def test_a_processor_clock_stands_while_a_process_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "process_time", lambda: 6.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert fair_clock(torch.device("cpu"))() == 2.0


def test_a_gpu_is_timed_by_the_wall() -> None:
    assert fair_clock(torch.device("cuda")) is time.perf_counter
