"""The courier process: it may die, and it never outlives its program."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient
from mlflow_server import empty_database

from gen_dist.tracking.courier_process import PROCESS
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity

PATIENCE_SECONDS = 120.0


@pytest.fixture(autouse=True)
def store(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(empty_database())


def couriers(parent: int) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(parent).children() if "gen_dist.tracking.courier_process" in child.cmdline()
    ]


def history(name: str) -> list[int]:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("gen_dist")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`gen_dist.run_name` = '{name}'")
    return sorted(metric.step for metric in client.get_metric_history(run.info.run_id, "loss"))


def test_a_killed_courier_is_replaced_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    PROCESS.stop()
    tracker = MLflowTracker(RunIdentity(name="run"), tmp_path / "spool", deliver_every_seconds=0.05)
    tracker.start()
    tracker.log_metrics(0, {"loss": 0.0})
    assert tracker.deliver(PATIENCE_SECONDS).num_waiting == 0
    (courier,) = couriers(os.getpid())
    for step in range(1, 3000):
        tracker.log_metrics(step, {"loss": float(step)})
        if step == 1500:
            courier.kill()
            courier.wait()
    assert tracker.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    (replacement,) = couriers(os.getpid())
    assert replacement.pid != courier.pid
    assert history("run") == list(range(3000))
    PROCESS.stop()
    assert not replacement.is_running()


TRAINER = """
import sys
from pathlib import Path
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity
tracker = MLflowTracker(RunIdentity(name="run"), Path("spool"), system_metrics_every_seconds=None)
tracker.start()
tracker.log_metrics(0, {"loss": 0.0})
tracker.deliver(120)
try:
    print("delivered", flush=True)  # inside: the interrupt may follow at once
    sys.stdin.read()
except KeyboardInterrupt:
    tracker.log_metrics(1, {"loss": 1.0})
    print(tracker.finish("KILLED", timeout_seconds=120).num_waiting, flush=True)
"""


def start_trainer() -> "subprocess.Popen[str]":
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "delivered\n"
    return trainer


def test_the_courier_ends_with_a_killed_program(tmp_path: Path) -> None:
    with start_trainer() as trainer:
        (courier,) = couriers(trainer.pid)
        trainer.kill()
    courier.wait(timeout=60)


def test_ctrl_c_leaves_the_courier_alive_for_the_last_words(tmp_path: Path) -> None:
    with start_trainer() as trainer:
        (courier,) = couriers(trainer.pid)
        os.killpg(trainer.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
        assert trainer.stdout is not None
        assert trainer.stdout.read() == "0\n"
    courier.wait(timeout=60)
    assert history("run") == [0, 1]
