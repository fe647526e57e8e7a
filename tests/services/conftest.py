"""A real S3 server for every test that needs one."""

import uuid
from collections.abc import Iterator

import boto3
import pytest
from s3_server import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The server's address. Tests use `s3_endpoint`, which also sets the environment."""
    server = S3Server()
    yield server.uri
    server.stop()


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
