"""A real S3 server (moto) in a process of its own, for every test that needs one."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import boto3
import pytest

# It ends when its standard input closes, so it never outlives the tests, however they end.
SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The server's address. Tests use `s3_endpoint`, which also sets the environment."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Short pages, so that whoever lists more than a few objects has to follow them.
        env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "5"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        assert port, "the S3 server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.fixture
def s3_endpoint(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's address, with the environment set so that boto3 and pyarrow, here and in child processes, use it."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> str:
    """The name of a fresh, empty bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=name)
    client.close()
    return name
