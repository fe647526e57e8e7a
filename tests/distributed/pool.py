"""Worker processes for the whole test session: spawning them once costs two seconds each, and only once."""

import multiprocessing
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class WorkerPool:
    """Runs a function on 1 to `size` gloo workers at a time and returns what each of them returned."""

    def __init__(self, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connections: list[Connection] = []
        self.processes = []
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            self.connections.append(ours)
            self.processes.append(process)

    def run(self, function: Callable[..., Any], *arguments: Any, workers: int) -> list[Any]:
        port = free_port()
        for rank in range(workers):
            self.connections[rank].send((function, arguments, rank, workers, port))
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


def _serve(connection: Connection) -> None:
    torch.set_num_threads(1)
    while (job := connection.recv()) is not None:
        function, arguments, rank, workers, port = job
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=workers)
        try:
            connection.send((True, function(*arguments)))
        except Exception:  # noqa: BLE001 - the parent must hear of every failure
            connection.send((False, traceback.format_exc()))
        finally:
            dist.destroy_process_group()
