"""`gen-dist ui`: MLflow's pages on the recorded runs."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

from gen_dist.tracking.location import redact, sqlite_file, store_uri

HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 15.0


def ui(*, port: int = 5000, tracking_uri: str | None = None) -> None:
    """Open MLflow's pages on the runs recorded here: they are served to this machine only, until Ctrl-C.

    Examples:
        gen-dist ui
        gen-dist ui --port 5001

    Args:
        port: where to serve; 0 takes a free one.
        tracking_uri: MLflow's store; MLFLOW_TRACKING_URI or mlflow.db in this folder by default.

    Raises:
        ValueError: there is nothing to show yet, or the port is taken.
    """
    uri = store_uri(tracking_uri)
    if uri.startswith(("http://", "https://")):
        print(f"MLflow serves these runs already: {redact(uri)}")
        return
    path = sqlite_file(uri)
    if path is not None and not path.exists():
        raise ValueError(f"there is no {path} yet: train something first, or name a store with --tracking-uri")
    port = _free_port(port)
    process = _start(uri, port)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _wait_until_it_answers(process, port)
        print(f"MLflow shows {redact(uri)} at http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
        process.wait()
        raise ChildProcessError(f"MLflow's server ended by itself with code {process.returncode}")
    except KeyboardInterrupt:
        print("ended", flush=True)
    finally:
        signal.signal(signal.SIGTERM, before)
        _stop(process)


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ValueError(
                f"port {port} is taken ({error.strerror}): choose another with --port, or 0 for any"
            ) from error
        return int(probe.getsockname()[1])


def _start(uri: str, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # not on the command line, where everybody would see a password
        # eight more processes, which serve language models only
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": os.environ.get("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false"),
    }
    # a session of its own: Ctrl-C reaches this process alone, which then ends the server and the server's children
    return subprocess.Popen(  # noqa: S603  our own interpreter, no shell
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        if process.poll() is not None:
            raise ChildProcessError(f"MLflow's server did not start (code {process.returncode}): try `mlflow server`")
        if time.monotonic() > deadline:
            raise TimeoutError(f"MLflow's server did not answer on port {port} within {START_SECONDS:g} s")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with closing(http.client.HTTPConnection(HOST, port, timeout=1.0)) as connection:  # never through a proxy
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
