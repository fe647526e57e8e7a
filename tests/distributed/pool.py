"""Worker processes for the whole test session: spawning them once costs two seconds each, and only once."""

import multiprocessing
import tempfile
import traceback
import uuid
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


class WorkerPool:
    """Runs a function on 1 to `size` gloo workers at a time and returns what each of them returned."""

    def __init__(self, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.meeting_places = tempfile.TemporaryDirectory()
        self.connections: list[Connection] = []
        self.processes = []
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            self.connections.append(ours)
            self.processes.append(process)

    def run(self, function: Callable[..., Any], *arguments: Any, workers: int) -> list[Any]:
        # A file, since of two pools that look for a free port both may find the same one.
        place = Path(self.meeting_places.name, uuid.uuid4().hex).as_uri()
        for rank in range(workers):
            self.connections[rank].send((function, arguments, rank, workers, place))
        answers = [self.connections[rank].recv() for rank in range(workers)]
        for rank, (sound, answer) in enumerate(answers):
            if not sound:
                raise RuntimeError(f"worker {rank} of {workers} failed:\n{answer}")
        return [answer for _, answer in answers]

    def close(self) -> None:
        for connection in self.connections:
            connection.send(None)
        for process in self.processes:
            process.join(timeout=10)
        self.meeting_places.cleanup()


def _serve(connection: Connection) -> None:
    torch.set_num_threads(1)
    while (job := connection.recv()) is not None:
        function, arguments, rank, workers, place = job
        try:
            dist.init_process_group("gloo", init_method=place, rank=rank, world_size=workers)
            connection.send((True, function(*arguments)))
        except Exception:  # noqa: BLE001 - the parent must hear of every failure
            connection.send((False, traceback.format_exc()))
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
