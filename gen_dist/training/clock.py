"""What a budget of training time is counted with, when several runs share one machine."""

import time
from collections.abc import Callable

import torch

Clock = Callable[[], float]  # seconds since some moment


def fair_clock(device: torch.device) -> Clock:
    """Seconds of computing: of the wall on a GPU; on a CPU of this process's processors, divided by torch's threads.

    On an idle machine the two agree. On a busy one only the second gives the same budget to each run, whatever else
    was running during its minutes.
    """
    if device.type != "cpu":
        return time.perf_counter
    threads = torch.get_num_threads()
    return lambda: time.process_time() / threads
