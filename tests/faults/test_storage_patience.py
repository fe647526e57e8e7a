"""A store that is away for a while, for those who would rather wait than fail."""

import threading

import pytest
from mlflow_server import free_port
from proxy import bad_road
from s3_server import S3Server

from gen_dist.data.errors import AwayError, StorageError
from gen_dist.data.storage import open_storage

pytestmark = pytest.mark.faults


@pytest.fixture
def nobody(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The port of the environment's endpoint, at which nobody answers."""
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return port


def test_a_store_that_comes_back(nobody: int, s3: S3Server, bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AwayError):
        open_storage(bucket).write_bytes("key", b"in vain")
    patient = open_storage(bucket).patient(seconds=120.0).child("folder")
    over = threading.Event()

    def come_back() -> None:
        with bad_road(s3.port, seed=1, at=nobody):
            over.wait()

    # It waits at least a second after its first attempt, and the road is open before the second one.
    server = threading.Timer(0.3, come_back)
    server.start()
    try:
        patient.write_bytes("key", b"here")
        assert patient.read_bytes("key") == b"here"
        assert patient.list() == ["key"]
    finally:
        over.set()
        server.join()
    (waits, back) = [record.getMessage() for record in caplog.records if record.name.startswith("gen_dist")]
    assert "check AWS_ENDPOINT_URL and the network; waiting for it, for up to 2 minutes" in waits
    assert back == f"{bucket} answers again"


def test_patience_ends(nobody: int, bucket: str) -> None:
    with pytest.raises(AwayError, match=f"{bucket}/key: .*check AWS_ENDPOINT_URL and the network"):
        open_storage(bucket).patient(seconds=0.1).read_bytes("key")


def test_nobody_waits_for_what_is_no_outage(s3: S3Server, bucket: str) -> None:
    """With patience, these would take longer than a test may."""
    patient = open_storage(bucket).patient(seconds=3600.0)
    with pytest.raises(FileNotFoundError):
        patient.read_bytes("missing")
    with pytest.raises(StorageError, match="there is no such bucket"):
        open_storage("s3://no-such-bucket").patient(seconds=3600.0).exists("key")
