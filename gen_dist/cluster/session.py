"""Joining a Ray cluster, or starting one on this machine."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import final

import ray
from rich.console import Console

from gen_dist.cluster.reach import make_token

# How often Ray Train's controller looks at its workers; its default of 2 s adds seconds to the end of every run.
_HEALTH_CHECK_SECONDS = "0.2"

GPU_SHARE = 0.25
EXPECT_GPUS_VARIABLE = "GEN_DIST_EXPECT_GPUS"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one trial takes of the cluster.

    Attributes:
        cpus: processors of each worker; also the threads that it computes with.
        gpus: of each worker, or a share of one; None is a quarter where there are any, or a whole one for each of
            several workers.
        workers: that train the trial together.
    """

    cpus: float = 1.0
    gpus: float | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"{self.workers} workers cannot train anything: at least 1")
        if self.workers > 1 and self.gpus is not None and self.gpus % 1:
            raise ValueError(
                f"{self.workers} workers with {self.gpus:g} GPUs each: NCCL wants one for each worker: give each a "
                "whole one, or let the trial have one worker"
            )

    def settled(self) -> "Resources":
        """The same with a number of GPUs, as the cluster is now."""
        if self.gpus is not None:
            return self
        share = 1.0 if self.workers > 1 else GPU_SHARE
        return replace(self, gpus=share if has_gpus() else 0.0)

    def bundles(self) -> list[dict[str, float]]:
        """The same in Ray's words: what each worker takes."""
        return [{"CPU": self.cpus, "GPU": self.gpus or 0.0} for _ in range(self.workers)]

    def __str__(self) -> str:
        each = f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
        return each if self.workers == 1 else f"{self.workers} workers with {each} each"


def connect(console: Console, *, num_cpus: int | None = None, dashboard: bool = False) -> None:
    """Join the cluster that `RAY_ADDRESS` names, or start a local one; the second call does nothing.

    Args:
        console: where to say so.
        num_cpus: of a local one; all when left out.
        dashboard: whether a local one has Ray's dashboard, on the loopback address.

    Raises:
        ConnectionError: the cluster can't be reached.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", _HEALTH_CHECK_SECONDS)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # a study has its own display
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, log_to_driver=True, logging_level=logging.ERROR)
    else:
        console.print("starting Ray on this machine", highlight=False)
        make_token(os.environ)
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=dashboard,
            log_to_driver=True,
            logging_level=logging.ERROR,
        )
    if threading.current_thread() is threading.main_thread():
        # Ray ends a driver that is asked to stop by an exception of its own; ours say how to go on, as at Ctrl-C.
        signal.signal(signal.SIGTERM, _as_ctrl_c)


def _as_ctrl_c(_number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # it ignores Ctrl-C, as what a script starts in the background does
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


@contextmanager
def signals_kept() -> Iterator[None]:
    """What the block changes about signals is undone after it: Ray Tune leaves its own handlers behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def describe_resources() -> str:
    """What the cluster offers, for people."""
    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    nodes = sum(1 for node in ray.nodes() if node["Alive"])
    return f"{nodes} node{'s' if nodes != 1 else ''}, {cpus:g} CPUs, {gpus:g} GPUs"


def has_gpus() -> bool:
    """Whether any node has a GPU, or will: an autoscaler starts from none and does not say what it may add.

    Whoever sets such a cluster up says so in the environment of its head, by GEN_DIST_EXPECT_GPUS=1.
    """
    return bool(ray.cluster_resources().get("GPU", 0)) or os.environ.get(EXPECT_GPUS_VARIABLE, "0") != "0"


def fits(resources: Resources) -> bool:
    """Whether the living nodes are large enough for one trial, busy or not. A worker never spans nodes."""
    return how_many_fit(resources) > 0


def how_many_fit(resources: Resources) -> int:
    """How many trials the cluster carries at once, as it is now."""
    return _workers_that_fit(resources) // resources.workers


def shortage(resources: Resources, *, what: str = "a trial") -> str | None:
    """What one would wait for, for people; None when it can begin at once."""
    if not fits(resources):
        room = _workers_that_fit(resources)
        there = "no node is that large" if not room else f"there is room for {room} of them"
        return f"{what} takes {resources}, and now {there}: waiting for more nodes (Ctrl-C to give up)"
    free, asked = ray.available_resources(), {"CPU": resources.cpus, "GPU": resources.gpus or 0.0}
    busy = [name for name, each in asked.items() if each * resources.workers > free.get(name, 0.0)]
    if busy:
        names = " and ".join(f"{free.get(name, 0.0):g} {name}s" for name in busy)
        return f"{what} takes {resources}, and {names} are free now: waiting for others to end (Ctrl-C to give up)"
    return None


def _workers_that_fit(resources: Resources) -> int:
    return sum(_fit_on(node["Resources"], resources) for node in ray.nodes() if node["Alive"])


def _fit_on(node: dict[str, float], resources: Resources) -> int:
    shares = [
        node.get(name, 0.0) / amount for name, amount in (("CPU", resources.cpus), ("GPU", resources.gpus)) if amount
    ]
    return int(min(shares, default=0.0))
