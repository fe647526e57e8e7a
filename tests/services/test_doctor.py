"""`gen-dist doctor` against real servers, none, and broken ones."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_server import MLflowServer, free_port

from gen_dist.cluster.reach import token_state
from gen_dist.commands import entry
from gen_dist.commands.doctor import doctor as command
from gen_dist.commands.doctor.doctor import Check, carry_out, doctor
from gen_dist.commands.doctor.finding import Question, Severity
from gen_dist.commands.doctor.services import check_clock, check_mlflow, check_ray, check_token
from gen_dist.commands.doctor.storage import check_dataset, check_storage
from gen_dist.commands.import_ import import_dataset
from gen_dist.commands.secrets import without_secrets
from gen_dist.data.storage import open_storage

CANARY = "canary-5f2b9c"


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that refuses everybody, an hour late."""

    def do_GET(self) -> None:
        self.send_response_only(401)
        self.send_header("Date", "Thu, 01 Jan 2015 00:00:00 GMT")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """It accepts connections, and nobody ever answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_bucket_is_written_read_and_left_as_it_was(s3_bucket: str) -> None:
    question = Question(storage=f"s3://{s3_bucket}/runs")
    assert check_storage(question).severity == Severity.OK
    assert open_storage(f"s3://{s3_bucket}").list() == []
    assert check_clock(question).severity == Severity.OK
    assert set(question.clocks) == {"the object store"}


def test_the_place_of_the_dataset_stands_in_for_that_of_runs(s3_bucket: str) -> None:
    assert s3_bucket in check_storage(Question(data=f"s3://{s3_bucket}/digits")).text
    assert s3_bucket not in check_storage(Question(data="digits")).text


def test_a_bucket_that_is_not_there_is_an_error_with_its_remedy(s3_endpoint: str) -> None:
    question = Question(storage="s3://nobodys-bucket/runs")
    finding = check_storage(question)
    assert finding.severity == Severity.ERROR
    assert "can't write" in finding.text
    assert "make the bucket first" in finding.text
    assert question.clocks, "a refusal tells the time too"


def test_a_local_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    assert check_storage(Question(storage=str(tmp_path / "runs"))).severity == Severity.ERROR
    assert check_storage(Question(storage=str(tmp_path / "other"))).severity == Severity.OK
    assert list((tmp_path / "other").iterdir()) == []


def test_a_dataset_shows_its_digest_and_a_missing_shard_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    import_dataset("digits", str(folder), limit=50)
    assert "digest" in check_dataset(Question(data=str(folder))).text
    next((folder / "train").iterdir()).unlink()
    finding = check_dataset(Question(data=str(folder)))
    assert finding.severity == Severity.ERROR
    assert "import the dataset again" in finding.text


def test_mlflow_lets_us_in(tmp_path: Path) -> None:
    server = MLflowServer(tmp_path)
    server.start()
    try:
        question = Question(tracking_uri=server.uri)
        assert check_mlflow(question).severity == Severity.OK
        assert check_clock(question).severity == Severity.OK
        assert set(question.clocks) == {"MLflow"}
    finally:
        server.stop()


def test_a_server_that_refuses_and_is_late(refusing_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CANARY)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "trainer")
    question = Question(tracking_uri=refusing_server)
    finding = check_mlflow(question)
    assert finding.severity == Severity.ERROR
    assert "MLFLOW_TRACKING_PASSWORD" in finding.text
    clock = check_clock(question)
    assert clock.severity == Severity.ERROR
    assert "behind" in clock.text


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    finding = check_mlflow(Question(tracking_uri=f"sqlite:///{tmp_path}/deep/mlflow.db"))
    assert finding.severity == Severity.OK
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "severity", "said"),
    [
        ({}, Severity.OK, "none yet"),
        ({"RAY_AUTH_MODE": "token"}, Severity.ERROR, "RAY_AUTH_TOKEN_PATH=FILE"),
        ({"RAY_AUTH_MODE": "disabled"}, Severity.WARNING, "disabled"),
        ({"RAY_ADDRESS": "head:6379"}, Severity.WARNING, "no token"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": CANARY}, Severity.OK, "from RAY_AUTH_TOKEN"),
        ({"RAY_ADDRESS": "head:6379", "RAY_AUTH_TOKEN": CANARY}, Severity.WARNING, "RAY_AUTH_MODE is not set"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "absent"}, Severity.ERROR, "unreadable"),
    ],
)
def test_the_token(
    environment: dict[str, str], severity: Severity, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    finding = check_token(Question())
    assert (finding.severity, CANARY in finding.text) == (severity, False)
    assert said in finding.text


def test_a_token_that_others_can_read(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(CANARY)
    for mode, readable in ((0o644, True), (0o640, True), (0o600, False)):
        token.chmod(mode)
        assert token_state({"RAY_AUTH_TOKEN_PATH": str(token)}).readable_by_others is readable


def test_nobody_at_rays_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    finding = check_ray(Question())
    assert finding.severity == Severity.ERROR
    assert "nobody answers" in finding.text


def hanging(_: Question) -> None:
    """A check that never ends."""
    threading.Event().wait()


def failing(_: Question) -> None:
    """A check with a defect."""
    raise KeyError("defect")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("test_doctor:hanging", "no answer within"),
        ("test_doctor:failing", "KeyError"),
        ("a_package_that_is_not_installed:check", "ModuleNotFoundError"),
    ],
)
def test_no_check_stops_the_next(target: str, said: str) -> None:
    finding = carry_out(Check("it", target, seconds=0.2), Question())
    assert finding.severity == Severity.ERROR
    assert said in finding.text


@pytest.mark.parametrize("broken", ["refused", "silent"])
def test_all_at_once_without_any_service_and_without_a_secret(
    broken: str, silent_port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    port = silent_port if broken == "silent" else free_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://user:{CANARY}-endpoint@127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": f"{CANARY}-s3",
        "MLFLOW_TRACKING_URI": f"http://user:{CANARY}-uri@127.0.0.1:{port}",
        "MLFLOW_TRACKING_PASSWORD": f"{CANARY}-mlflow",
        "RAY_AUTH_TOKEN": f"{CANARY}-ray",
        "RAY_AUTH_MODE": "token",
        "RAY_ADDRESS": f"127.0.0.1:{free_port()}",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        entry.call(doctor, ["--data", "s3://bucket/digits", "--storage", "s3://bucket/runs"], program="gen-dist doctor")
    assert stopped.value.code == Severity.ERROR
    captured = capfd.readouterr()
    assert CANARY not in captured.out + captured.err
    lines = {line.split()[1]: line.split()[0] for line in captured.out.splitlines()}
    assert list(lines) == [check.name for check in command.TABLE]
    assert {name for name, severity in lines.items() if severity == "error"} == {"ray", "storage", "dataset", "mlflow"}


def test_what_slips_into_a_message_is_taken_out(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{CANARY}-file\n")
    environment = {"AWS_SECRET_ACCESS_KEY": f"{CANARY}-s3", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    line = without_secrets(f"a {CANARY}-s3 b {CANARY}-file http://me:{CANARY}@host/", environment)
    assert line == "a *** b *** http://host/"
