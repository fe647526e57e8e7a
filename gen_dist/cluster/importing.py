"""An import whose tasks run all over a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import ray
from rich.console import Console

from gen_dist.cluster.session import connect, describe_resources

RETRIES = 3  # of a task whose process or node died
TASKS_PER_CPU = 2  # that are known to Ray: one that runs and one that is ready to


def on_cluster(function: Callable[[Any], str | None], pieces: Sequence[Any]) -> Iterator[str | None]:
    """See `gen_dist.data.piecewise.CarryOut`. Tasks that run when the caller stops listening are ended."""
    if not pieces:
        return
    console = Console(stderr=True)
    connect(console)
    console.print(f"{len(pieces)} tasks on {describe_resources()}", highlight=False)
    remote = ray.remote(function).options(num_cpus=1, max_retries=RETRIES)
    waiting: list[ray.ObjectRef] = []
    rest = iter(pieces)
    try:
        while True:
            room = TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1))) - len(waiting)
            waiting += [remote.remote(piece) for piece in islice(rest, max(0, room))]
            if not waiting:
                return
            ready, waiting = ray.wait(waiting, num_returns=1)
            yield _answer(ready[0])
    finally:
        for task in waiting:
            ray.cancel(task, force=True)


def _answer(task: "ray.ObjectRef[str | None]") -> str | None:
    try:
        answer: str | None = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # what the task raised, without Ray's account of where
    return answer
