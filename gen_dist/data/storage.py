"""One interface to the two places where gen_dist keeps files: a folder on this machine, and a prefix on S3."""

from pathlib import Path
from typing import Any, final
from urllib.parse import unquote, urlsplit

from gen_dist.data.errors import StorageError
from gen_dist.data.storage_backend import Backend
from gen_dist.data.storage_local import LocalBackend
from gen_dist.data.storage_patient import PatientBackend
from gen_dist.data.storage_s3 import S3Backend

__all__ = ["Storage", "StorageError", "open_storage"]


@final
class Storage:
    """A folder of files, addressed by relative keys ("train/0.parquet").

    A reader of a key sees the old file or the new one, never a part. Nothing here keeps state besides a connection,
    so a second `open_storage` of the same URI, in another process, is the same place.
    """

    def __init__(self, backend: Backend, root: str) -> None:
        self._backend = backend
        self._root = root

    @property
    def uri(self) -> str:
        """The URI of this folder."""
        return self._backend.uri(self._root)

    @property
    def local_path(self) -> Path | None:
        """The folder on this machine, or None when the files lie elsewhere."""
        return self._backend.local_path(self._root)

    def child(self, name: str) -> "Storage":
        """The folder `name` below this one; it need not exist."""
        return Storage(self._backend, self._name(name))

    def patient(self, seconds: float) -> "Storage":
        """The same folder, for whoever would rather wait than fail while the place is away for so many seconds."""
        return Storage(PatientBackend(self._backend, seconds), self._root)

    def read_bytes(self, key: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: the place can't be read; the message says why.
        """
        return self._backend.read_bytes(self._name(key))

    def read_start(self, key: str, size: int) -> bytes:
        """The first `size` bytes of a file that may be larger than anybody wants, as in `read_bytes`."""
        return self._backend.read_start(self._name(key), size)

    def sha256(self, key: str) -> str:
        """SHA-256 of the file in hexadecimal, streamed; FileNotFoundError as in `read_bytes`."""
        return self._backend.sha256(self._name(key))

    def write_bytes(self, key: str, data: bytes) -> None:
        """Write the whole file in one step; folders are made as needed."""
        self._backend.write_bytes(self._name(key), data)

    def create(self, key: str, data: bytes) -> None:
        """Write a file that must not be there yet: of several who try at the same moment, one succeeds.

        Raises:
            FileExistsError: there is such a file.
        """
        self._backend.create(self._name(key), data)

    def upload(self, local: Path, key: str) -> None:
        """Copy a local file here, streamed, visible only when whole."""
        self._backend.upload(local, self._name(key))

    def download(self, key: str, local: Path) -> None:
        """Copy a file from here to a local path, streamed, visible there only when whole."""
        self._backend.download(self._name(key), local)

    def exists(self, key: str) -> bool:
        """Whether there is a file of this key."""
        return self._backend.exists(self._name(key))

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys of all files below the folder `prefix` (not of keys that merely begin with the same letters)."""
        skip = len(self._root) + 1 if self._root else 0
        return sorted(name[skip:] for name in self._backend.list(self._name(prefix) if prefix else self._root))

    def delete(self, prefix: str) -> None:
        """Remove the file `prefix`, or everything below the folder `prefix`; no error when there is nothing."""
        self._backend.delete(self._name(prefix) if prefix else self._root)

    def open_input(self, key: str) -> Any:
        """The file as a seekable pyarrow NativeFile, read in ranges: how Parquet is streamed."""
        return self._backend.open_input(self._name(key))

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"

    def _name(self, key: str) -> str:
        parts = key.split("/")
        if "\\" in key or "\0" in key or any(part in ("", ".", "..") for part in parts):
            raise StorageError(
                f"{key!r} is not a key below {self.uri}: keys are relative, with '/' between names and no '.' or '..'"
            )
        return f"{self._root}/{key}" if self._root else key


def open_storage(uri: str | Path) -> Storage:
    """The folder that a path, a `file://` URI or an `s3://bucket/prefix` URI names. It need not exist yet.

    S3 takes credentials, region and `AWS_ENDPOINT_URL` from the environment or the AWS configuration files.

    Raises:
        StorageError: the scheme is unknown or the URI names no bucket.
    """
    if isinstance(uri, Path) or "://" not in uri:
        return Storage(LocalBackend(Path(uri)), "")
    parts = urlsplit(uri)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise StorageError(f"{uri!r} names a file on another machine: write file:///absolute/path")
        return Storage(LocalBackend(Path(unquote(parts.path))), "")
    if parts.scheme != "s3":
        raise StorageError(
            f"{uri!r} has the unknown scheme {parts.scheme!r}: use a path, file:// or s3://bucket/prefix"
        )
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise StorageError(f"{uri!r} names no bucket: write s3://bucket/prefix")
    storage = Storage(S3Backend(bucket), "")
    prefix = prefix.strip("/")
    return storage.child(prefix) if prefix else storage
