"""Worker processes for the whole test session: spawning them once costs two seconds each, and only once."""

import multiprocessing
import tempfile
import traceback
import uuid
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

PATIENCE = timedelta(seconds=240)  # below the time of a test, so that who waits in vain says for what


class WorkerPool:
    """Runs a function on 1 to `size` gloo workers at a time and returns what each of them returned."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.meeting_places = tempfile.TemporaryDirectory()
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connections: list[Connection] = []
        self.processes: list[SpawnProcess] = []
        for _ in range(self.size):
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
        try:
            answers = [self.connections[rank].recv() for rank in range(workers)]
        except BaseException:  # a test's time was over: what these workers say later answers nobody
            for process in self.processes:
                process.kill()
            self._start()
            raise
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
            dist.init_process_group("gloo", init_method=place, rank=rank, world_size=workers, timeout=PATIENCE)
            connection.send((True, function(*arguments)))
        except Exception:  # noqa: BLE001 - the parent must hear of every failure
            connection.send((False, traceback.format_exc()))
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
