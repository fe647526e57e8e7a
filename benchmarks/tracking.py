"""What tracking costs the training thread, by one command.

Run:
    python benchmarks/tracking.py

1. Microseconds per `log_metrics` call of 10 values: the best a program could do (one `write` to a file), no tracker,
   MLflow on an sqlite file, and MLflow that does not answer.
2. A stand-in for training: rounds of about 10 ms of one-thread matrix products. Runs of 100 rounds with and without a
   tracker take turns, so that a busy machine slows both alike; the figure is the median of the ratios of one turn. Once
   with a report in every round, and once in every 20th, as `TrainingConfig.rounds_per_report` has it. The delivery
   thread, its MLflow client and the database are in the same process, so their work is in the figure.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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


class Training:
    """Rounds of matrix products that take about 10 ms on this machine."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._matrix = torch.randn(384, 384)
        self._products = 1
        self.run(NoTracker(), 1, 20)
        self._products = max(1, round(ROUND_SECONDS / (self.run(NoTracker(), 1, 200) / 200)))

    def run(self, tracker: Tracker, rounds_per_report: int, rounds: int = ROUNDS, first: int = 0) -> float:
        """Seconds that some rounds take."""
        before = time.perf_counter()
        for number in range(first, first + rounds):
            for _ in range(self._products):
                torch.mm(self._matrix, self._matrix)
            if number % rounds_per_report == 0:
                tracker.log_metrics(number, METRICS)
        return time.perf_counter() - before


def share(folder: Path, store: str, rounds_per_report: int) -> None:
    training = Training()
    tracker = start(folder / f"every-{rounds_per_report}", store)
    tracker.deliver(PATIENCE_SECONDS)
    ratios = []
    rounds = []
    for turn in range(TURNS):
        tracked = training.run(tracker, rounds_per_report, first=turn * ROUNDS)
        tracker.deliver(PATIENCE_SECONDS)  # the untracked half must not pay for this one's deliveries
        bare = training.run(NoTracker(), rounds_per_report)
        ratios.append(tracked / bare)
        rounds.append(bare / ROUNDS)
    backlog = tracker.finish(timeout_seconds=PATIENCE_SECONDS)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"a report every {rounds_per_report:>2} rounds of {1e3 * statistics.median(rounds):.1f} ms: "
        f"training takes {middle:.4f} times as long (quartiles {low:.4f}, {high:.4f}); {backlog}"
    )


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
