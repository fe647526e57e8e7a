"""A real Redis on a free loopback port."""

import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from kept import Kept
from mlflow_server import free_port

START_TIMEOUT_SECONDS = 60


class RedisServer:
    """A test is skipped where it is not installed."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("Redis is not installed: apt-get install redis-server")
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        self._server = Kept(command, environment=os.environ, log=folder / "redis.log", folder=folder)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not answers(port):
            assert time.monotonic() < deadline, (folder / "redis.log").read_text()
            time.sleep(0.05)  # between two looks at a process that is starting

    def stop(self) -> None:
        self._server.kill()


def answers(port: int) -> bool:
    """Whether it takes commands."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False
