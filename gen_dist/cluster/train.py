"""A run on Ray Train: Ray starts the workers, restarts them when one dies, and nothing more.

Checkpoints, evaluation and tracking are our own (see `gen_dist/workflows/run.py`), so a run is the same with and
without Ray, and the newest complete checkpoint wins whatever Ray remembers.
"""

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, final

import ray
import ray.train
import torch
from ray.train import FailureConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from rich.console import Console

from gen_dist.cluster.judging import on_spare_processors
from gen_dist.cluster.room import RoomWatch
from gen_dist.cluster.session import Resources, connect, describe_resources, has_gpus
from gen_dist.distributed.world import World
from gen_dist.serialization import from_json, to_json
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.tracker import NoTracker, Tracker
from gen_dist.training.curriculum import Curriculum
from gen_dist.training.fit import Request
from gen_dist.workflows.job import STOP_REQUEST, RunJob, RunResult, read_result
from gen_dist.workflows.ownership import Ownership
from gen_dist.workflows.run import work
from gen_dist.workflows.spools import spool_folder

MAX_RESTARTS = 8
RAYS_OWN = "ray"
"""Where Ray may write below the run's folder: a marker, which tells nobody anything when the run is over."""
MAX_START_ATTEMPTS = 144
"""Of a group of workers, in a row or not. With 10 minutes each it is a day until a lost node must be replaced."""
# How long one attempt waits for its workers. An elastic run then counts anew how many the cluster has room for.
_START_SECONDS, _ELASTIC_START_SECONDS = "600", "15"


@final
@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers a run has: a number, or a range inside which it follows the cluster.

    Attributes:
        fewest: below which it waits.
        most: above which it does not grow.
    """

    fewest: int
    most: int

    @staticmethod
    def parse(text: str) -> "Workers":
        """From "4" or "2:8".

        Raises:
            ValueError: it is neither.
        """
        low, _, high = text.partition(":")
        try:
            workers = Workers(int(low), int(high or low))
        except ValueError as error:
            raise ValueError(f"--workers {text}: give a number (4) or a range (2:8)") from error
        if not 1 <= workers.fewest <= workers.most:
            raise ValueError(f"--workers {text}: at least 1, and the range must rise")
        return workers

    @property
    def elastic(self) -> bool:
        """Whether the number may change during the run."""
        return self.fewest != self.most


def run_here(job: RunJob, console: Console) -> RunResult:
    """The run in this process, without Ray: Ctrl-C and SIGTERM end it after a checkpoint."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stop = threading.Event()
    with _stopping_on_signals(console, stop.set):
        return work(
            job,
            world=World(device=device),
            device=device,
            tracker=tracker_of(job),
            ownership=Ownership.take(job.folder),
            ask=lambda: Request.STOP if stop.is_set() else Request.NOTHING,
            console=console,
        )


def run_on_ray(job: RunJob, workers: Workers, console: Console) -> RunResult:
    """The run on a Ray cluster.

    Raises:
        ValueError: more workers than micro-batches.
        RuntimeError: it failed more often than it is restarted, with the last cause.
    """
    Curriculum(job.config.training).check_workers(World(size=workers.most))
    connect(console, dashboard=True)  # without it, Ray Train complains of its absence all the time
    console.print(f"training on {describe_resources()}", highlight=False)
    os.environ.setdefault(
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", _ELASTIC_START_SECONDS if workers.elastic else _START_SECONDS
    )
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": to_json(job), "ownership": Ownership.take(job.folder).text},
        torch_config=TorchConfig(backend="nccl" if has_gpus() else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=(workers.fewest, workers.most) if workers.elastic else workers.most, use_gpu=has_gpus()
        ),
        run_config=ray.train.RunConfig(
            # Ray silently continues a run of the same name: ours are told apart by a fresh one every time.
            name=f"{job.name}-{uuid.uuid4().hex[:8]}",
            storage_path=job.folder.child(RAYS_OWN).uri,
            failure_config=FailureConfig(max_failures=MAX_RESTARTS, controller_failure_limit=MAX_START_ATTEMPTS),
        ),
    )
    job.folder.delete(STOP_REQUEST)  # one that came too late for the run's last incarnation
    worker = Resources(gpus=1.0 if has_gpus() else 0.0)
    with (
        _stopping_on_signals(console, lambda: job.folder.write_bytes(STOP_REQUEST, b"")),
        RoomWatch(workers.fewest, worker, console),
    ):
        trainer.fit()
    with suppress(OSError, ValueError):  # say, credentials that may not delete
        job.folder.delete(RAYS_OWN)
    result = read_result(job)
    if result is None:
        raise RuntimeError(f"run {job.name!r} ended without a result below {job.folder.uri}")
    return result


def tracker_of(job: RunJob) -> Tracker:
    """Who is told about the run, from worker 0. One below another bears its name too: presets recur, names may not."""
    if job.experiment is None:
        return NoTracker()
    name = job.name if job.parent is None else f"{job.parent}/{job.name}"
    identity = RunIdentity(name=name, experiment=job.experiment, parent=job.parent)
    return MLflowTracker(identity, spool_folder(job.folder, job.experiment, name))


def _worker(settings: dict[str, str]) -> None:
    """What Ray calls on every worker."""
    job = from_json(settings["job"], RunJob)
    device = get_device()
    world = World.current(device)
    result = work(
        job,
        world=world,
        device=device,
        tracker=tracker_of(job) if world.rank == 0 else NoTracker(),
        ask=_Preemption().ask,
        console=Console(force_terminal=False),
        elsewhere=on_spare_processors,
        ownership=Ownership(settings["ownership"]),
    )
    ray.train.report({"samples_seen": result.samples_seen})


@final
class _Preemption:
    """Asks Ray whether a node is about to be taken away; every notice is worth one checkpoint."""

    def __init__(self) -> None:
        self._noticed = False

    def ask(self) -> Request:
        """Every worker calls this equally often: Ray makes them agree on the answer."""
        notice = ray.train.get_preemption_info()
        fresh = notice is not None and not self._noticed
        self._noticed = notice is not None
        return Request.CHECKPOINT if fresh else Request.NOTHING


@contextmanager
def _stopping_on_signals(console: Console, request_stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks the run to stop, the second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread, whose owner decides about them
        return
    received: list[int] = []

    def note(number: int, _frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        request_stop()
        console.print("\nstopping after a checkpoint; once more to stop at once", highlight=False)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
