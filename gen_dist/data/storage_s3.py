"""Objects below a prefix of an S3 bucket (or of a server that speaks S3: MinIO, Ceph), through boto3."""

import hashlib
import io
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, final

import boto3
import botocore.config
import botocore.exceptions
import botocore.loaders
import botocore.session
import pyarrow as pa
from boto3.exceptions import Boto3Error
from botocore.response import StreamingBody

from gen_dist.data.errors import AwayError, DamagedError, StorageError
from gen_dist.data.storage_local import replacing

# Parsing what botocore knows of S3 takes 0.1 s; shared, a further connection takes 0.01 s.
API_DESCRIPTIONS = botocore.loaders.create_loader()
NOT_FOUND = ("404", "NoSuchKey", "NotFound")
AWAY = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "500", "502", "503", "504")
T = TypeVar("T")
CHUNK_BYTES = 1 << 20
BROKEN_ANSWERS = 3
ATTEMPTS = "5"
"""Of each request, unless AWS_MAX_ATTEMPTS is set; botocore waits up to 1, 2, 4 and 8 s between them."""
BROKEN = (
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ReadTimeoutError,
    botocore.exceptions.ResponseStreamingError,
)
ADVICE = {
    "NoSuchBucket": "there is no such bucket: check the name and AWS_ENDPOINT_URL, or make the bucket first",
    "AccessDenied": "access denied: these credentials may not do this here; check the bucket's policy",
    "403": "access denied: these credentials may not do this here; check the bucket's policy",
    "InvalidAccessKeyId": "the access key is not known there: check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL",
    "SignatureDoesNotMatch": "the secret key is wrong: check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have expired: renew them",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "PermanentRedirect": "the bucket lies in another region: set AWS_DEFAULT_REGION",
    "AuthorizationHeaderMalformed": "the bucket lies in another region: set AWS_DEFAULT_REGION",
    "SlowDown": "the server asks for fewer requests: try again later",
    "PreconditionFailed": "the object was replaced while it was being read",
}


@final
class S3Backend:
    """See `gen_dist.data.storage_backend.Backend`."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        retries = {"mode": "standard", "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS") or ATTEMPTS)}
        with explained(self.uri("")):
            self._client = s3_client(retries=retries, connect_timeout=10.0, read_timeout=60.0)

    def uri(self, name: str) -> str:
        """`s3://bucket/name`."""
        return f"s3://{self._bucket}/{name}" if name else f"s3://{self._bucket}"

    def local_path(self, name: str) -> Path | None:
        """None."""
        return None

    def read_bytes(self, name: str) -> bytes:
        """The whole object."""
        return self._get(name, _read)

    def read_start(self, name: str, size: int) -> bytes:
        """By one range request, which an empty object answers with an error."""
        try:
            return self._get(name, _read, {"Range": f"bytes=0-{size - 1}"})
        except StorageError as error:
            if _code(error.__cause__) != "InvalidRange":
                raise
            return b""

    def sha256(self, name: str) -> str:
        """Digest of the object, in one request."""
        return self._get(name, _sha256)

    def write_bytes(self, name: str, data: bytes) -> None:
        """One PUT."""
        with explained(self.uri(name)):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data)

    def create(self, name: str, data: bytes) -> None:
        """One PUT that the server carries out only where there is no such object."""
        writer = uuid.uuid4().hex  # a request that is repeated because its answer was lost must know its own work
        try:
            with explained(self.uri(name)):
                self._client.put_object(
                    Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*", Metadata={"writer": writer}
                )
        except StorageError as error:
            if _code(error.__cause__) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            with explained(self.uri(name)):
                found = self._client.head_object(Bucket=self._bucket, Key=name)
            if found["Metadata"].get("writer") != writer:
                raise FileExistsError(f"{self.uri(name)} exists") from error

    def upload(self, local: Path, name: str) -> None:
        """Copy in, in parts when large."""
        with explained(self.uri(name)), local.open("rb") as file:
            self._client.upload_fileobj(file, self._bucket, name)

    def download(self, name: str, local: Path) -> None:
        """Copy out."""
        with explained(self.uri(name)), replacing(local) as file:
            self._client.download_fileobj(self._bucket, name, file)

    def exists(self, name: str) -> bool:
        """Whether there is such an object; a missing bucket is an error, not "no"."""
        try:
            with explained(self.uri(name)):
                self._client.head_object(Bucket=self._bucket, Key=name)
        except FileNotFoundError:
            try:
                with explained(self.uri("")):
                    self._client.head_bucket(Bucket=self._bucket)
            except FileNotFoundError as error:
                raise StorageError(f"{self.uri(name)}: {ADVICE['NoSuchBucket']}") from error
            return False
        return True

    def list(self, name: str) -> list[str]:
        """All objects below, over as many pages as it takes."""
        with explained(self.uri(name)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{name}/" if name else ""
            )
            return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def delete(self, name: str) -> None:
        """Remove the object and all below, a thousand a request."""
        names = [*self.list(name), *([name] if name else [])]
        for start in range(0, len(names), 1000):
            objects = [{"Key": key} for key in names[start : start + 1000]]
            with explained(self.uri(name)):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
            for failure in answer.get("Errors", ()):
                cause = ADVICE.get(failure["Code"], failure.get("Message", failure["Code"]))
                raise StorageError(f"{self.uri(failure['Key'])} could not be deleted: {cause}")

    def open_input(self, name: str) -> Any:
        """The object, read by range requests."""
        with explained(self.uri(name)):
            head = self._client.head_object(Bucket=self._bucket, Key=name)
        return pa.PythonFile(_RangeFile(self, name, head["ContentLength"], head["ETag"]), mode="r")

    def read_range(self, name: str, start: int, stop: int, etag: str) -> bytes:
        """Bytes [start, stop) of the object that had this tag when it was opened."""
        return self._get(name, _read, {"Range": f"bytes={start}-{stop - 1}", "IfMatch": etag})

    def _get(self, name: str, consume: Callable[[StreamingBody], T], conditions: Mapping[str, str] | None = None) -> T:
        with explained(self.uri(name)):
            # botocore repeats a request that fails, but not one whose answer breaks off half-way.
            damage: Exception | None = None
            for _ in range(BROKEN_ANSWERS):
                response = self._client.get_object(Bucket=self._bucket, Key=name, **(conditions or {}))
                # Not `with response["Body"]`: that hands out urllib3's body, which raises urllib3's errors.
                with suppress(*BROKEN), closing(response["Body"]) as body:
                    try:
                        return consume(body)
                    except botocore.exceptions.FlexibleChecksumError as error:
                        damage = error
            if damage is not None:
                raise DamagedError(f"{self.uri(name)} has another checksum than when it was written") from damage
            raise AwayError(f"{self.uri(name)}: the answer broke off {BROKEN_ANSWERS} times: check the network")


def s3_client(*, retries: Mapping[str, Any], connect_timeout: float, read_timeout: float) -> Any:
    """A boto3 client of S3; timeouts in seconds, retries as botocore's configuration has them.

    In a session of its own, since boto3's default one is not safe to use from several threads; a client is.
    """
    session = botocore.session.Session()
    session.register_component("data_loader", API_DESCRIPTIONS)
    config = botocore.config.Config(retries=dict(retries), connect_timeout=connect_timeout, read_timeout=read_timeout)
    return boto3.session.Session(botocore_session=session).client("s3", config=config)


def _read(body: StreamingBody) -> bytes:
    data: bytes = body.read()
    return data


def _sha256(body: StreamingBody) -> str:
    digest = hashlib.sha256()
    for chunk in body.iter_chunks(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


class _RangeFile(io.RawIOBase):
    """A read-only file over range requests: one request a read, so its reader should ask for large pieces."""

    def __init__(self, backend: S3Backend, name: str, size: int, etag: str) -> None:
        super().__init__()
        self._backend, self._name, self._size, self._etag = backend, name, size, etag
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._position + size, self._size)
        if stop <= self._position:
            return b""
        data = self._backend.read_range(self._name, self._position, stop, self._etag)
        self._position = stop
        return data


def _code(error: BaseException | None) -> str:
    """What S3 calls an error, or ""."""
    response = getattr(error, "response", {}) if isinstance(error, botocore.exceptions.ClientError) else {}
    return str(response.get("Error", {}).get("Code", ""))


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turns what botocore raises into a StorageError that says what to do, and "not found" into FileNotFoundError."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = _code(error)
        if code in NOT_FOUND:
            raise FileNotFoundError(f"{uri} does not exist") from error
        message = error.response.get("Error", {}).get("Message", "")
        kind = AwayError if code in AWAY else StorageError
        raise kind(f"{uri}: {ADVICE.get(code, f'{code}: {message}')}") from error
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
        raise StorageError(
            f"{uri}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from error
    except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError) as error:
        # Connection refused, unknown host, timeouts: botocore's text names the endpoint and holds no credentials.
        raise AwayError(f"{uri}: {error}: check AWS_ENDPOINT_URL and the network") from error
    except (botocore.exceptions.BotoCoreError, Boto3Error) as error:
        raise StorageError(f"{uri}: {error}") from error
    except ValueError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{uri}: {error}: check AWS_ENDPOINT_URL") from error
