"""Whether a place can be written, read and cleared: tried with one small file that is gone afterwards.

On S3 with short timeouts and without retries, unlike the storage that runs use: whoever asks waits for the answer.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, final

import botocore.exceptions

from gen_dist.data.errors import StorageError
from gen_dist.data.storage import open_storage
from gen_dist.data.storage_s3 import explained, s3_client

CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
PREFIX = ".gen-dist-trial-"


@final
@dataclass(slots=True)
class ServerTime:
    """The time that a server's answers carry.

    Attributes:
        date: of its last answer, or None while there was none.
    """

    date: datetime | None = None

    def hear(self, response_dict: Mapping[str, Any] | None, **_: Any) -> None:
        """Botocore calls it with every answer, refusals too; with None where none came."""
        text = (response_dict or {}).get("headers", {}).get("date")
        if text:
            self.date = parsedate_to_datetime(text)


def try_storage(uri: str, server_time: ServerTime) -> None:
    """Write a file below a folder or an s3:// prefix, read it back, and delete it.

    Args:
        uri: the place; a local folder is made when it is missing.
        server_time: learns the server's time, also when the trial fails.

    Raises:
        StorageError: a step fails; the message names it, the cause, and what to do.
    """
    name, content = PREFIX + secrets.token_hex(8), secrets.token_bytes(64)
    if not uri.startswith("s3://"):
        folder = open_storage(uri)
        _round_trip(
            content,
            write=lambda: folder.write_bytes(name, content),
            read=lambda: folder.read_bytes(name),
            delete=lambda: folder.delete(name),
        )
        return
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise StorageError(f"{uri!r} names no bucket: write s3://bucket/prefix")
    key = "/".join(part for part in (prefix.strip("/"), name) if part)
    with explained(uri):
        client = _client(server_time)
    _round_trip(
        content,
        write=lambda: _asked(uri, lambda: client.put_object(Bucket=bucket, Key=key, Body=content)),
        read=lambda: _asked(uri, lambda: bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())),
        delete=lambda: _asked(uri, lambda: client.delete_object(Bucket=bucket, Key=key)),
    )


def try_server(endpoint: str, server_time: ServerTime) -> bool:
    """Ask an S3 server something, without a bucket.

    Args:
        endpoint: its address, for messages; botocore takes it from AWS_ENDPOINT_URL.
        server_time: learns the server's time.

    Returns:
        Whether the credentials may list buckets. If not they may be good all the same.

    Raises:
        StorageError: it can't be reached, or refuses the credentials.
    """
    with explained(endpoint):
        client = _client(server_time)
        try:
            client.list_buckets()
        except botocore.exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ("AccessDenied", "403"):
                raise
            return False
    return True


def _client(server_time: ServerTime) -> Any:
    client = s3_client(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
    )
    client.meta.events.register("response-received.s3", server_time.hear)
    return client


def _round_trip(
    content: bytes, *, write: Callable[[], object], read: Callable[[], bytes], delete: Callable[[], object]
) -> None:
    with _step("write"):
        write()
    try:
        with _step("read"):
            found = read()
        if found != content:
            raise StorageError("what was read is not what was written: is there a cache between?")
    finally:
        with _step("delete"):
            delete()


@contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except (StorageError, OSError) as error:
        raise StorageError(f"can't {name} there: {error}") from error


def _asked(uri: str, request: Callable[[], Any]) -> Any:
    with explained(uri):
        return request()
