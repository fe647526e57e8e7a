"""A real `mlflow server` on a free loopback port, which tests may stop, kill and start again."""

import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from gen_dist.tracking.database import ensure_database

# Its process group ends with this wrapper, and the wrapper when its standard input closes: it never outlives the tests.
WRAPPER = """
import os, signal, subprocess, sys
server = subprocess.Popen(sys.argv[1:])
sys.stdin.read()
os.killpg(0, signal.SIGKILL)
"""
START_TIMEOUT_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def empty_database() -> bytes:
    """MLflow takes seconds to make a database; tests share the bytes of a fresh one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        ensure_database(f"sqlite:///{path}")
        return path.read_bytes()


class MLflowServer:
    """Artifacts, and without another store sqlite, in one folder; the address stays the same over restarts."""

    def __init__(self, folder: Path, store: str | None = None) -> None:
        self.folder = folder
        self.store = store or f"sqlite:///{folder}/mlflow.db"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        database = self.folder / "mlflow.db"
        if self.store.endswith(str(database)) and not database.exists():
            database.write_bytes(empty_database())
        command = [sys.executable, "-m", "mlflow", "server"]
        command += ["--backend-store-uri", self.store, "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", WRAPPER, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._healthy():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"the server did not start:\n{(self.folder / 'server.log').read_text()}")

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)  # between two looks at a process that is starting
            return False

    def pause(self) -> None:
        """From now on it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It carries out what has piled up."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """At once, with whatever it is doing."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(timeout=30)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            self.kill()
