"""A small real run, and what is looked at when it is over."""

import hashlib
import io
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import torch
from mlflow_server import MLflowServer
from rich.console import Console

from gen_dist.config import override
from gen_dist.data.dataset import open_dataset
from gen_dist.distributed.world import World
from gen_dist.presets import preset
from gen_dist.tracking.lineage import metric_name
from gen_dist.tracking.mlflow_tracker import MLflowTracker, deliver_spool
from gen_dist.tracking.spool import RunIdentity
from gen_dist.training.checkpoint import complete_keys, read_checkpoint
from gen_dist.training.fit import Request
from gen_dist.workflows.job import CHECKPOINTS, Judging, RunJob, RunResult, create_run
from gen_dist.workflows.ownership import Ownership
from gen_dist.workflows.run import work

BATCH = 32
ROUNDS = 200
ROUNDS_PER_REPORT = 5
ROUNDS_PER_CHECKPOINT = 20
MIDDLE = 100  # the round after which the model is judged; a picture of its samples goes to the run's folder
PATIENCE_SECONDS = 120.0
SETTINGS = {
    "model.generator_channels": 8,
    "model.critic_channels": 8,
    "training.batch_size": BATCH,
    "training.images": ROUNDS * BATCH,
    "training.rounds_per_report": ROUNDS_PER_REPORT,
    "training.checkpoint_every_images": ROUNDS_PER_CHECKPOINT * BATCH,
    "training.checkpoint_every_seconds": None,
    "training.evaluate_every_images": MIDDLE * BATCH,
    "training.num_threads": 1,
}


def new_job(data: str, runs: str | Path, name: str) -> RunJob:
    """A run that is written down and has not begun."""
    job = RunJob(
        name=name,
        runs=str(runs),
        config=override(preset("dcgan-8"), SETTINGS),
        data=data,
        data_digest=open_dataset(data).digest,
        judging=Judging(extractor="random", num_samples=100, num_scored=0),
    )
    create_run(job)
    return job


@dataclass(kw_only=True)
class Told:
    """What a person at the terminal sees of a run, and how long it took."""

    result: RunResult
    text: str
    seconds: float


@dataclass(kw_only=True)
class Script:
    """What happens at which round, counted from where the run starts or goes on; and at which round it is stopped."""

    at: Mapping[int, Callable[[], None]] = field(default_factory=dict)
    stop: int | None = None
    rounds: int = 0

    def ask(self) -> Request:
        """What `fit` asks after every report."""
        self.rounds += ROUNDS_PER_REPORT
        if self.rounds in self.at:
            self.at[self.rounds]()
        return Request.STOP if self.rounds == self.stop else Request.NOTHING


def run(job: RunJob, script: Script | None = None, tracker: MLflowTracker | None = None) -> Told:
    """Begin a run or go on with it, in this process."""
    output, device, began = io.StringIO(), torch.device("cpu"), time.perf_counter()
    result = work(
        job,
        world=World(device=device),
        device=device,
        tracker=tracker,
        ask=(script or Script()).ask,
        console=Console(file=output, width=200),
        ownership=Ownership.take(job.folder),
    )
    return Told(result=result, text=output.getvalue(), seconds=time.perf_counter() - began)


def track(job: RunJob, folder: Path, server: MLflowServer) -> MLflowTracker:
    """Tells a real MLflow server, from a spool in this folder."""
    return MLflowTracker(
        RunIdentity(name=job.name),
        folder,
        tracking_uri=server.uri,
        deliver_every_seconds=0.2,
        system_metrics_every_seconds=None,
    )


def weights_of(job: RunJob) -> str:
    """Digest of the weights that the run ended with."""
    return hashlib.sha256(job.folder.read_bytes("bundle/weights.safetensors")).hexdigest()


def checkpoint_keys(job: RunJob) -> list[str]:
    """Of the checkpoints that have a manifest, newest first."""
    return complete_keys(job.folder.child(CHECKPOINTS))


def key_at(round_number: int) -> str:
    """The checkpoint that is taken after so many rounds."""
    return f"{round_number * BATCH:015d}"


def assert_sound(job: RunJob) -> None:
    """Every checkpoint that has a manifest can be read, and there is nothing else beside them."""
    storage = job.folder.child(CHECKPOINTS)
    keys = complete_keys(storage)
    for key in keys:
        read_checkpoint(storage, key)
    assert {file.split("/")[0] for file in storage.list()} == set(keys)


def assert_all_points_once(job: RunJob, folder: Path | None, server: MLflowServer) -> int:
    """MLflow has every point of the run's history exactly once, and no other; returns how many there are.

    Args:
        job: the run.
        folder: of its spool, which is delivered first; None if all must have arrived already.
        server: MLflow's.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder is not None and any(backlog.num_waiting for backlog in deliver_spool(folder, server.uri)):
        assert time.monotonic() < deadline, "MLflow did not take what was left"
    last = read_checkpoint(job.folder.child(CHECKPOINTS), checkpoint_keys(job)[0])
    history = [(row, {"samples_seen"}) for row in last.history]
    history += [(row, {"samples_seen", "seconds"}) for row in last.evaluations]
    expected = {
        (metric_name(name), int(row["samples_seen"])): value
        for row, unlogged in history
        for name, value in row.items()
        if name not in unlogged
    }
    rows = points_in(server, job.name)
    assert Counter((key, step) for key, step, _ in rows) == Counter(expected.keys())
    clocks = {key for key, _, _ in rows if "seconds" in key or "per_second" in key}  # of another start, after a resume
    for key, step, value in rows:
        assert key in clocks or value == expected[key, step], f"{key} at {step}"
    return len(rows)


def points_in(server: MLflowServer, run_name: str) -> list[tuple[str, int, float]]:
    """Key, step and value of each point, as MLflow's database has them; what the system looks like is left out."""
    query = """SELECT metrics.key, metrics.step, metrics.value FROM metrics JOIN tags USING (run_uuid)
               WHERE tags.key = 'gen_dist.run_name' AND tags.value = {} AND metrics.key NOT LIKE 'system/%'"""
    if server.store.startswith("postgresql"):
        with psycopg.connect(server.store) as connection:
            return connection.execute(query.format("%s").replace("system/%", "system/%%"), (run_name,)).fetchall()
    with closing(sqlite3.connect(server.folder / "mlflow.db", timeout=30)) as database:
        return database.execute(query.format("?"), (run_name,)).fetchall()
