"""Whether a cluster has room for a run, said while the run waits for it."""

import threading
from typing import final

import ray
from rich.console import Console

from gen_dist.cluster.session import Resources, how_many_fit

EVERY_SECONDS = 5.0


@final
class RoomWatch:
    """Says from a thread that the living nodes are too few for a run, and when they suffice again.

    Ray waits for nodes without a word that people would understand. Nodes that are busy count as room.

    Args:
        fewest: workers without which the run does not train.
        worker: what each of them takes.
        console: where to say it.
        said: whether people know already that there are too few.
    """

    def __init__(self, fewest: int, worker: Resources, console: Console, *, said: bool = False) -> None:
        self._fewest, self._worker, self._console = fewest, worker, console
        self._short, self._ended = said, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="room-watch", daemon=True)

    def __enter__(self) -> "RoomWatch":
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()  # a look that hangs because the head is away is left to end with the process

    def look(self) -> None:
        """Look once; what has changed since the last time is said."""
        room = how_many_fit(self._worker)
        short = room < self._fewest
        if short and not self._short:
            self._console.print(
                f"the cluster has room for {room} of {self._fewest} workers: waiting for more nodes. Nothing is lost; "
                "to give up, Ctrl-C or stop the job",
                highlight=False,
                soft_wrap=True,
            )
        elif self._short and not short:
            self._console.print(f"the cluster has room for {room} workers: no more waiting", highlight=False)
        self._short = short

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            try:
                self.look()
            except (ray.exceptions.RayError, OSError):  # the head does not answer; the run itself will say so
                continue
