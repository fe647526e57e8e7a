"""Tracking against a real server that hangs, dies and comes back."""

import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from mlflow_server import MLflowServer
from PIL import Image

from gen_dist.bundle.bundle import load_bundle, save_bundle
from gen_dist.models.boltzmann.rbm import RBMConfig
from gen_dist.tracking.aliases import list_versions
from gen_dist.tracking.challenge import Judgement
from gen_dist.tracking.ledger import State
from gen_dist.tracking.mlflow_tracker import MLflowTracker, deliver_spool
from gen_dist.tracking.registry import load_registered, register
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.store import MLflowStore
from gen_dist.tracking.tracker import DatasetRecord
from gen_dist.types import DataSpec

# Long enough for a server on two busy cores; everything here ends as soon as it is done.
PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    server = MLflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


def track(
    server: MLflowServer,
    name: str,
    folder: Path,
    parent: str | None = None,
    connect: Callable[[str], MLflowStore] | None = None,
) -> MLflowTracker:
    tracker = MLflowTracker(
        RunIdentity(name=name, parent=parent),
        folder,
        tracking_uri=server.uri,
        deliver_every_seconds=0.05,
        system_metrics_every_seconds=None,
        connect=connect,
    )
    tracker.start()
    return tracker


def find(server: MLflowServer, name: str) -> Run:
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("gen_dist")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`gen_dist.run_name` = '{name}'")
    return run


def steps(server: MLflowServer, name: str, key: str) -> Counter[int]:
    history = MlflowClient(server.uri).get_metric_history(find(server, name).info.run_id, key)
    return Counter(metric.step for metric in history)


def num_points(spool: Path, state: State) -> int:
    with closing(sqlite3.connect(spool / "ledger.sqlite", timeout=30)) as database:
        (count,) = database.execute("SELECT count(*) FROM points WHERE state = ?", (int(state),)).fetchone()
    return int(count)


def once(*ranges: range) -> Counter[int]:
    return Counter(step for numbers in ranges for step in numbers)


def test_everything_that_a_run_logs_is_there(server: MLflowServer, tmp_path: Path) -> None:
    study = track(server, "study", tmp_path / "study")
    trial = track(server, "trial", tmp_path / "trial", parent="study")
    trial.log_params({"model.latent_dim": 64, "model.channels": (32, 16), "long": "x" * 7000})
    trial.log_metrics(64, {"critic/loss": 0.5, "nan": math.nan, "infinity": math.inf})
    trial.log_image(Image.new("L", (8, 8), 128), "samples/000064.png")
    trial.log_text("critic, generator", "phases.txt")
    trial.log_dataset(DatasetRecord(name="digits", digest="d" * 64, uri="https://me:secret@host/digits"))
    trial.set_tags({"outcome": "healthy"})
    assert study.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    assert trial.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0

    run, parent = find(server, "trial"), find(server, "study")
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (run.info.status, run.info.run_name) == ("FINISHED", "trial")
    assert run.info.start_time < run.info.end_time
    assert run.data.params["model.latent_dim"] == "64"
    assert run.data.params["model.channels"] == "(32, 16)"
    assert run.data.params["long"].startswith("x" * 5900)
    assert "[7000 characters, sha256 " in run.data.params["long"]
    assert run.data.metrics["critic/loss"] == 0.5
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.metrics["infinity"] == sys.float_info.max  # a database has no infinity; MLflow stores the largest
    assert run.data.tags["outcome"] == "healthy"
    assert run.data.tags["gen_dist.dataset.training"] == f"digits {'d' * 64}"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.source) == ("digits", "https://host/digits")
    client = MlflowClient(server.uri)
    whole = Path(client.download_artifacts(run.info.run_id, "parameters/long.txt", str(tmp_path)))
    assert whole.read_text() == "x" * 7000
    picture = client.download_artifacts(run.info.run_id, "samples/000064.png", str(tmp_path))
    with Image.open(picture) as image:
        assert image.getpixel((3, 3)) == 128
    assert client.download_artifacts(run.info.run_id, "phases.txt", str(tmp_path))


def test_a_server_that_hangs_slows_nothing_loses_nothing_and_doubles_nothing(
    server: MLflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # heard in this process only, so the delivery stays in it
    tracker = track(server, "hang", tmp_path, connect=MLflowStore)
    for step in range(50):
        tracker.log_metrics(step, {"loss": float(step)})
    assert tracker.deliver(PATIENCE_SECONDS).num_waiting == 0
    server.pause()
    try:
        started = time.perf_counter()
        for step in range(50, 1500):
            tracker.log_metrics(step, {"loss": float(step)})
        seconds = time.perf_counter() - started
        # in-doubt batches: with a limit of 1 s per request, at least one request is sent and not answered in 3 s
        backlog = tracker.finish(timeout_seconds=3.0)
    finally:
        server.resume()
    assert seconds < 1.0  # 1450 calls, while each request takes a second to fail
    assert backlog.points == 1450
    assert num_points(tmp_path, State.SENT) > 0  # sent, and no answer
    assert backlog.reason is not None
    assert "gen-dist deliver" in str(backlog)

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    resumed = track(server, "hang", tmp_path)
    for step in range(1400, 1600):  # a replay since the last checkpoint
        resumed.log_metrics(step, {"loss": float(step) + 0.5})
    assert resumed.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    assert steps(server, "hang", "loss") == once(range(1600))


def test_a_server_that_dies_and_comes_back_gets_the_rest(server: MLflowServer, tmp_path: Path) -> None:
    tracker = track(server, "death", tmp_path)
    for step in range(200):
        tracker.log_metrics(step, {"loss": float(step)})
    server.kill()
    for step in range(200, 400):
        tracker.log_metrics(step, {"loss": float(step)})
    assert tracker.finish(timeout_seconds=0.5).num_waiting > 0
    server.start()
    (backlog,) = deliver_spool(tmp_path)
    assert backlog.num_waiting == 0
    assert steps(server, "death", "loss") == once(range(400))
    assert find(server, "death").info.status == "FINISHED"


TRAINER = """
import sys
from pathlib import Path
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.registry import load_registered, register
from gen_dist.tracking.spool import RunIdentity
tracker = MLflowTracker(RunIdentity(name="killed"), Path(sys.argv[1]), tracking_uri=sys.argv[2],
                        deliver_every_seconds=0.01, system_metrics_every_seconds=None)
tracker.start()
step = 0
while True:
    tracker.log_metrics(step, {"loss": float(step), "score": 1.0})
    if step == 100:
        tracker.deliver(120)
    print(step, flush=True)
    step += 1
"""


def test_a_killed_trainer_loses_nothing_and_its_resume_doubles_nothing(server: MLflowServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRAINER, str(tmp_path), server.uri]
    last = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = int(line)
            if last == 2000:
                os.kill(process.pid, signal.SIGKILL)  # some points are delivered, a batch is under way, the rest waits
    assert num_points(tmp_path, State.DELIVERED) >= 200
    resumed = track(server, "killed", tmp_path)
    for step in range(last - 50, last + 100):
        resumed.log_metrics(step, {"loss": float(step), "score": 1.0})
    assert resumed.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    for key in ("loss", "score"):
        assert steps(server, "killed", key) == once(range(last + 100))


def test_a_resume_on_another_machine_finds_its_run_again(server: MLflowServer, tmp_path: Path) -> None:
    first = track(server, "moved", tmp_path / "first")
    for step in range(100):
        first.log_metrics(step, {"loss": float(step)})
    assert first.finish("KILLED", timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    assert find(server, "moved").info.status == "KILLED"
    second = track(server, "moved", tmp_path / "second")
    for step in range(60, 150):
        second.log_metrics(step, {"loss": float(step)})
    assert second.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    assert steps(server, "moved", "loss") == once(range(150))
    assert find(server, "moved").info.status == "FINISHED"


def test_a_bundle_goes_to_the_registry_and_comes_back(server: MLflowServer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = RBMConfig(num_hidden=6, sample_steps=20)
    spec = DataSpec(channels=1, height=8, width=8)
    learner = config.build(spec)
    save_bundle(learner, config, spec, {}, tmp_path / "bundle")
    registration = register(
        tmp_path / "bundle",
        "remote",
        judgement=Judgement(protocol="p", frechet_distances=(1.0,)),
        record="{}",
        run_id=find(server, "trial").info.run_id,
        tracking_uri=server.uri,
    )
    assert registration.alias == "champion"
    assert (server.folder / "artifacts").is_dir()
    bundle = load_registered("models:/remote@champion", tracking_uri=server.uri)
    assert torch.equal(bundle.sample(4, seed=1), load_bundle(tmp_path / "bundle").sample(4, seed=1))
    (version,) = list_versions("remote", tracking_uri=server.uri)
    assert version.aliases == ("champion",)
    assert version.run_id == find(server, "trial").info.run_id


def test_a_new_run_delivers_what_an_earlier_one_left(server: MLflowServer, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    earlier = MLflowTracker(
        RunIdentity(name="left"),
        runs / "left",
        tracking_uri=server.uri,
        system_metrics_every_seconds=None,
        connect=lambda uri: unreachable(),
    )
    earlier.start()
    earlier.log_metrics(1, {"loss": 1.0})
    assert earlier.finish(timeout_seconds=0.2).points == 1
    later = MLflowTracker(
        RunIdentity(name="later"), runs / "later", tracking_uri=server.uri, leftovers=runs, deliver_every_seconds=0.05
    )
    later.start()
    assert later.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    assert steps(server, "left", "loss") == once(range(1, 2))


def unreachable() -> None:
    raise ConnectionError("no route to MLflow")
