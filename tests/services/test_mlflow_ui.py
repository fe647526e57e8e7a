import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from gen_dist.commands import entry
from gen_dist.commands.ui import ui
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity


def test_it_serves_this_machine_only_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    tracker = MLflowTracker(RunIdentity(name="shown"), tmp_path / "spool", system_metrics_every_seconds=None)
    tracker.start()
    assert tracker.finish(timeout_seconds=120.0).num_waiting == 0

    program = "import sys; from gen_dist.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "ui", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = line.split(" at ")[1].split()[0]
        assert line.startswith(f"MLflow shows sqlite:///{tmp_path}/mlflow.db at http://127.0.0.1:")
        port = int(address.rpartition(":")[2])
        body = b'{"experiment_ids": ["1"]}'
        request = urllib.request.Request(
            f"{address}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert b'"shown"' in answer.read()
        for other in ("127.0.0.2", socket.gethostbyname(socket.gethostname())):
            if other != "127.0.0.1":
                assert not reachable(other, port)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stdout.read() == "ended\n"
    assert not reachable("127.0.0.1", port)


def reachable(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((host, port)) == 0


def test_a_taken_port_and_an_empty_folder_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(ui, []) == entry.USER_ERROR
    assert f"there is no {tmp_path}/mlflow.db yet: train something first" in capsys.readouterr().err
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert entry.run(ui, ["--port", str(port)]) == entry.USER_ERROR
    assert f"port {port} is taken" in capsys.readouterr().err


def test_a_store_that_is_served_already_is_only_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(ui, ["--tracking-uri", "https://me:secret@tracking:5000"]) == 0
    assert capsys.readouterr().out == "MLflow serves these runs already: https://tracking:5000\n"
