"""What tracking costs the training thread, by one command.

Run:
    python benchmarks/tracking.py

1. Microseconds per `log_metrics` call of 10 values: the best a program could do (one `write` to a file), no tracker,
   MLflow on an sqlite file, and MLflow that does not answer.
2. A stand-in for training: rounds of 10 ms of one-thread matrix products. Runs of 100 rounds with and without a tracker
   take turns, so that a busy machine slows both alike; figures are medians of the ratios of one turn. Once with a
   report in every round, and once in every 20th, as `TrainingConfig.rounds_per_report` has it. CPU seconds are given
   beside the clock's, since a busy machine disturbs them less.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.tracker import NoTracker, Tracker

CALLS = 2000
ROUNDS = 100
ROUND_SECONDS = 0.010
TURNS = 21
METRICS = {f"critic/metric_{index}": 0.123456789 * index for index in range(10)}
UNREACHABLE = "http://127.0.0.1:9"
PATIENCE_SECONDS = 120.0


def start(folder: Path, uri: str) -> MLflowTracker:
    tracker = MLflowTracker(RunIdentity(name=folder.name), folder, tracking_uri=uri)
    tracker.start()
    return tracker


def microseconds(log: Callable[[int], object]) -> tuple[float, float]:
    """Median and 99th percentile of one call."""
    seconds = []
    for step in range(CALLS):
        before = time.perf_counter()
        log(step)
        seconds.append(time.perf_counter() - before)
    quantiles = statistics.quantiles(seconds, n=100)
    return statistics.median(seconds) * 1e6, quantiles[98] * 1e6


def calls(folder: Path, store: str) -> None:
    print(f"{'one call, 10 values':<34}{'median us':>10}{'99 % us':>10}")
    line = b"x" * 400 + b"\n"
    file = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    print_row("one write() of 400 bytes", microseconds(lambda _: os.write(file, line)))
    os.close(file)
    print_row("no tracker", microseconds(lambda step: NoTracker().log_metrics(step, METRICS)))
    for label, uri in (("MLflow on sqlite", store), ("MLflow that does not answer", UNREACHABLE)):
        tracker = start(folder / label.replace(" ", "-"), uri)
        tracker.deliver(PATIENCE_SECONDS if uri == store else 5.0)  # the import of MLflow is over
        print_row(label, microseconds(lambda step, tracker=tracker: tracker.log_metrics(step, METRICS)))  # type: ignore[misc]
        tracker.finish(timeout_seconds=PATIENCE_SECONDS if uri == store else 0.1)


def print_row(label: str, figures: tuple[float, float]) -> None:
    print(f"{label:<34}{figures[0]:>10.1f}{figures[1]:>10.1f}")


@dataclass(frozen=True)
class Cost:
    """Seconds of some rounds: on the clock, of the training thread's CPU, of all threads' CPU."""

    wall: float
    thread: float
    process: float


class Training:
    """Rounds of matrix products that take about 10 ms on this machine."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._matrix = torch.randn(384, 384)
        self._products = 1
        self.run(NoTracker(), 1, 20)
        self._products = max(1, round(ROUND_SECONDS / (self.run(NoTracker(), 1, 200).thread / 200)))

    def run(self, tracker: Tracker, rounds_per_report: int, rounds: int = ROUNDS, first: int = 0) -> Cost:
        """What some rounds cost."""
        before = time.perf_counter(), time.thread_time(), time.process_time()
        for number in range(first, first + rounds):
            for _ in range(self._products):
                torch.mm(self._matrix, self._matrix)
            if number % rounds_per_report == 0:
                tracker.log_metrics(number, METRICS)
        after = time.perf_counter(), time.thread_time(), time.process_time()
        return Cost(*(late - early for early, late in zip(before, after, strict=True)))


def share(folder: Path, store: str, rounds_per_report: int) -> None:
    training = Training()
    tracker = start(folder / f"every-{rounds_per_report}", store)
    tracker.deliver(PATIENCE_SECONDS)
    courier_before = courier_seconds()
    tracked, bare = [], []
    for turn in range(TURNS):
        tracked.append(training.run(tracker, rounds_per_report, first=turn * ROUNDS))
        tracker.deliver(PATIENCE_SECONDS)  # the untracked half must not pay for this one's deliveries
        bare.append(training.run(NoTracker(), rounds_per_report))
    courier = courier_seconds() - courier_before
    tracker.finish(timeout_seconds=PATIENCE_SECONDS)
    wall = statistics.quantiles((one.wall / other.wall for one, other in zip(tracked, bare, strict=True)), n=4)
    cpu = statistics.median(one.thread / other.thread for one, other in zip(tracked, bare, strict=True))
    trained = sum(cost.thread for cost in tracked)
    other_threads = sum(cost.process - cost.thread for cost in tracked)
    print(
        f"a report every {rounds_per_report} rounds of {1e3 * ROUND_SECONDS:.0f} ms, relative to the same rounds bare:"
    )
    print(f"  on the clock                  {wall[1]:.4f} (quartiles {wall[0]:.4f}, {wall[2]:.4f})")
    print(f"  CPU of the training thread    {cpu:.4f}")
    print(f"  CPU of its other threads      {other_threads / trained:.4f} (they hold Python's lock while they run)")
    print(f"  CPU of the courier process    {courier / trained:.4f} (on another core, at a lower priority)")


def courier_seconds() -> float:
    """CPU that the courier process has taken."""
    times = [child.cpu_times() for child in psutil.Process().children()]
    return float(sum(time.user + time.system for time in times))


def main() -> None:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = f"sqlite:///{folder}/mlflow.db"
        calls(folder, store)
        for rounds_per_report in (1, 20):
            share(folder, store, rounds_per_report)


if __name__ == "__main__":
    main()
