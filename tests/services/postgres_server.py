"""A real PostgreSQL on a free loopback port, which tests may suspend and start again."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from kept import Kept
from mlflow_server import free_port

START_TIMEOUT_SECONDS = 120
STOP_SECONDS = 60.0
OTHER_USER = "nobody"  # PostgreSQL refuses to run as root


class PostgresServer:
    """One database, `mlflow`; the address stays the same over restarts. A test is skipped where it is not installed."""

    def __init__(self) -> None:
        self._bin = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="gen-dist-postgres-", dir="/tmp"))
        self._user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, OTHER_USER)
            self._user = ["setpriv", f"--reuid={OTHER_USER}", "--regid=nogroup", "--clear-groups"]
        self.port = free_port()
        self.uri = f"postgresql://mlflow@127.0.0.1:{self.port}/mlflow"
        self._data = self.folder / "data"
        self._server: Kept | None = None
        self._run("initdb", f"--pgdata={self._data}", "--username=mlflow", "--auth=trust", "--no-sync")
        self.start()
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "--username=mlflow", "mlflow")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, str(self._bin / program), *arguments]
        answer = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=START_TIMEOUT_SECONDS)
        assert answer.returncode == 0, answer.stderr

    def start(self) -> None:
        command = [*self._user, str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"]
        log = self.folder / "server.log"
        self._server = Kept(command, environment=os.environ, log=log, folder=self.folder)
        ready = [str(self._bin / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while subprocess.run(ready, cwd=self.folder).returncode:
            assert time.monotonic() < deadline, f"PostgreSQL did not start:\n{log.read_text()}"
            time.sleep(0.1)  # between two looks at a process that is starting

    def pause(self) -> None:
        """From now on it accepts connections and answers nothing."""
        assert self._server is not None
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It carries out what has piled up."""
        assert self._server is not None
        self._server.signal(signal.SIGCONT)

    def stop(self) -> None:
        """PostgreSQL's fast shutdown: what is under way is rolled back, its clients are cut off."""
        assert self._server is not None
        self.resume()
        os.kill(self._server.processes()[0].pid, signal.SIGINT)
        self._server.wait(STOP_SECONDS)
        self._server.kill()

    def remove(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self.folder)


def programs() -> Path:
    """The folder of PostgreSQL's programs."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") if shutil.which("pg_isready") else None
    if not debian and found is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql, or put its bin folder into PATH")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and setpriv (util-linux) is missing")
    return debian[-1].parent if debian else Path(str(found)).parent
