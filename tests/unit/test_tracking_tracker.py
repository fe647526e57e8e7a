import fcntl
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from tracking_fakes import FakeStore

from gen_dist.tracking.delivery import LONGEST_DELAY_SECONDS, next_delay
from gen_dist.tracking.ledger import Point
from gen_dist.tracking.mlflow_tracker import MLflowTracker, deliver_spool
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.system_metrics import SystemMetrics, sample
from gen_dist.tracking.tracker import DatasetRecord, NoTracker, Tracker

PATIENCE_SECONDS = 60.0


class HangingStore(FakeStore):
    """Takes nothing and gives no answer until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.released = threading.Event()

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        self.reached.set()
        assert self.released.wait(PATIENCE_SECONDS)
        super().send_points(run_id, points)


class BrokenStore(FakeStore):
    """Fails in a way that nobody thought of."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = True
        self.reached = threading.Event()

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        self.reached.set()
        if self.broken:
            raise AttributeError("an artifact store's own error")
        super().send_points(run_id, points)


def start(folder: Path, store: FakeStore, name: str = "run") -> MLflowTracker:
    tracker = MLflowTracker(
        RunIdentity(name=name),
        folder,
        deliver_every_seconds=0.01,
        system_metrics_every_seconds=None,
        connect=lambda uri: store,
    )
    tracker.start()
    return tracker


def test_the_trackers_keep_the_protocol(tmp_path: Path) -> None:
    assert isinstance(NoTracker(), Tracker)
    assert isinstance(MLflowTracker(RunIdentity(name="run"), tmp_path), Tracker)
    nothing = NoTracker()
    nothing.start()
    nothing.log_metrics(1, {"loss": 1.0})
    assert nothing.finish().num_waiting == 0
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_logged_arrives(tmp_path: Path) -> None:
    store = FakeStore()
    tracker = start(tmp_path / "spool", store)
    (tmp_path / "report.html").write_text("<html>")
    tracker.log_params({"model.channels": (1, 2), "long": "y" * 9000})
    tracker.log_metrics(5, {"p(x)": 1.5})
    tracker.log_artifact(tmp_path / "report.html", "reports")
    tracker.log_image(Image.new("RGB", (2, 2)), "samples/5.png")
    tracker.log_text("one phase", "phases.txt")
    tracker.log_dataset(DatasetRecord(name="digits", digest="abc", uri="http://u:p@h/d"))
    tracker.flush()
    assert tracker.deliver(PATIENCE_SECONDS).num_waiting == 0
    assert tracker.run_id() == "run-0"
    assert tracker.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    (run,) = store.runs.values()
    assert run.points == [("p_x_", 5, 1.5)]
    assert run.params["model.channels"] == "(1, 2)"
    assert len(run.params["long"]) == 6000
    assert set(run.files) == {"reports/report.html", "samples/5.png", "phases.txt", "parameters/long.txt"}
    assert run.files["parameters/long.txt"] == b"y" * 9000
    assert run.files["samples/5.png"].startswith(b"\x89PNG")
    assert run.datasets == [DatasetRecord(name="digits", digest="abc", uri="http://h/d")]
    assert [status for status, _ in run.statuses] in (["RUNNING", "FINISHED"], ["FINISHED"])


def test_a_hanging_store_holds_up_neither_logging_nor_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = HangingStore()
    tracker = start(tmp_path, store)
    tracker.log_metrics(0, {"loss": 0.0})
    assert store.reached.wait(PATIENCE_SECONDS)
    for step in range(1, 1000):
        tracker.log_metrics(step, {"loss": float(step)})
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        backlog = tracker.finish(timeout_seconds=0.2)
    assert time.monotonic() - started < 10.0  # the limit and some; the store hangs for a minute
    assert backlog.points == 1000
    assert "no answer within 0.2 s" in str(backlog)
    assert f"gen-dist deliver {tmp_path}" in caplog.text
    store.released.set()
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the thread has ended


def test_an_unknown_failure_is_reported_and_outlived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = BrokenStore()
    tracker = start(tmp_path, store)
    tracker.log_metrics(0, {"loss": 0.0})
    with caplog.at_level(logging.WARNING):
        assert store.reached.wait(PATIENCE_SECONDS)
        backlog = tracker.deliver(timeout_seconds=1.0)
        assert backlog.points == 1
        assert "AttributeError: an artifact store's own error" in str(backlog)
        store.broken = False
        assert tracker.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    assert "MLflow takes nothing at the moment" in caplog.text
    assert "MLflow answers again" in caplog.text
    assert store.runs["run-0"].points == [("loss", 0, 0.0)]


def test_a_second_tracker_of_a_run_lets_the_first_deliver(tmp_path: Path) -> None:
    store = FakeStore()
    first = start(tmp_path, store)
    assert first.deliver(PATIENCE_SECONDS).num_waiting == 0
    second = start(tmp_path, store)
    second.log_metrics(1, {"loss": 1.0})
    assert first.deliver(PATIENCE_SECONDS).num_waiting == 0
    assert first.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    second.log_metrics(2, {"loss": 2.0})
    assert second.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    assert store.runs["run-0"].points == [("loss", 1, 1.0), ("loss", 2, 2.0)]


def test_nothing_is_logged_before_the_start_or_after_the_end(tmp_path: Path) -> None:
    tracker = MLflowTracker(RunIdentity(name="run"), tmp_path)
    with pytest.raises(ValueError, match=r"call start\(\) first"):
        tracker.log_metrics(1, {"loss": 1.0})
    started = start(tmp_path, FakeStore())
    started.finish(timeout_seconds=PATIENCE_SECONDS)
    with pytest.raises(ValueError, match="nothing after finish"):
        started.log_text("x", "x.txt")


def test_no_environment_variable_reaches_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-5e0b1f"
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "SOMETHING"):
        monkeypatch.setenv(name, canary)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{canary}@127.0.0.1:9")
    store = FakeStore()
    tracker = MLflowTracker(
        RunIdentity(name="run"), tmp_path, system_metrics_every_seconds=0.01, connect=lambda uri: store
    )
    tracker.start()
    tracker.log_metrics(1, {"loss": 1.0})
    tracker.log_text("text", "phases.txt")
    tracker.finish(timeout_seconds=PATIENCE_SECONDS)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if canary.encode() in path.read_bytes()]
    assert canary not in repr(store.runs)


def test_delivering_where_there_is_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it holds no tracking spool"):
        deliver_spool(tmp_path)


def test_attempts_become_rarer_while_they_fail_and_no_rarer_than_once_a_minute() -> None:
    delays = [0.0]
    for _ in range(10):
        delays.append(next_delay(delays[-1], 2.0, failed=True))
    assert delays[1:7] == [2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_DELAY_SECONDS]
    assert delays[-1] == LONGEST_DELAY_SECONDS
    assert next_delay(LONGEST_DELAY_SECONDS, 2.0, failed=False) == 2.0


def test_system_metrics_are_sampled_until_stopped(tmp_path: Path) -> None:
    seen = threading.Event()
    samples: list[tuple[int, dict[str, float]]] = []

    def log(step: int, values: object) -> None:
        assert isinstance(values, dict)
        samples.append((step, values))
        seen.set()

    metrics = SystemMetrics(log, 0.001, tmp_path)
    metrics.start()
    assert seen.wait(PATIENCE_SECONDS)
    metrics.stop()
    count = len(samples)
    step, values = samples[0]
    assert abs(step - time.time()) < 3600
    assert 0.0 <= values["system/cpu_utilization_percentage"] <= 100.0
    assert values["system/process_memory_megabytes"] > 10.0
    assert len(samples) == count
    assert set(sample(tmp_path)) >= {"system/system_memory_usage_percentage", "system/disk_usage_percentage"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_in_use_is_sampled(tmp_path: Path) -> None:
    held = torch.zeros(1 << 20, device="cuda")
    values = sample(tmp_path)
    assert values["system/gpu_0_memory_usage_megabytes"] > held.nbytes / 1e6
    assert 0.0 < values["system/gpu_0_memory_usage_percentage"] <= 100.0
