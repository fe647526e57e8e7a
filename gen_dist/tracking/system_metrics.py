"""How busy the machine is, sampled in a thread of its own under MLflow's names for system metrics."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch

_MEGABYTE = 1e6


class SystemMetrics:
    """Samples at intervals until it is stopped. The step of a sample is the Unix time in seconds.

    A count from the start of the process would begin again after a restart, perhaps on another machine, and MLflow
    would be told two values for one step.
    """

    def __init__(self, log: Callable[[int, Mapping[str, float]], None], interval_seconds: float, disk: Path) -> None:
        self._log = log
        self._interval = interval_seconds
        self._disk = disk
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gen_dist-system-metrics", daemon=True)

    def start(self) -> None:
        """Begin sampling."""
        psutil.cpu_percent()  # the first call has nothing to compare with and returns 0
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample, so that the shortest run has one, and no further."""
        self._stopped.set()
        self._thread.join()
        self._log(int(time.time()), sample(self._disk))

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._log(int(time.time()), sample(self._disk))


def sample(disk: Path) -> dict[str, float]:
    """One look at the machine and at this process."""
    memory = psutil.virtual_memory()
    usage = psutil.disk_usage(os.fspath(disk))
    values = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / _MEGABYTE,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_megabytes": psutil.Process().memory_info().rss / _MEGABYTE,
        "system/disk_usage_percentage": usage.percent,
        "system/disk_available_megabytes": usage.free / _MEGABYTE,
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # asking earlier would itself take GPU memory
        for index in range(torch.cuda.device_count()):
            values |= _gpu(index)
    return values


def _gpu(index: int) -> dict[str, float]:
    free, total = torch.cuda.mem_get_info(index)
    values = {
        f"system/gpu_{index}_memory_usage_megabytes": (total - free) / _MEGABYTE,
        f"system/gpu_{index}_memory_usage_percentage": 100.0 * (total - free) / total,
    }
    if find_spec("pynvml") is not None:
        values[f"system/gpu_{index}_utilization_percentage"] = float(torch.cuda.utilization(index))
    return values
