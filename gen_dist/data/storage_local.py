"""Files in a folder of this machine, each replaced in one step."""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, final

import pyarrow as pa

from gen_dist.data.errors import StorageError

UNFINISHED = ".unfinished-"
ADVICE = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space in the quota of this user",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "its disk is mounted read-only",
}


@final
class LocalBackend:
    """See `gen_dist.data.storage_backend.Backend`."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    def uri(self, name: str) -> str:
        """The path."""
        return str(self._path(name))

    def local_path(self, name: str) -> Path | None:
        """The path."""
        return self._path(name)

    def read_bytes(self, name: str) -> bytes:
        """The whole file."""
        with _explained(self._path(name)):
            return self._path(name).read_bytes()

    def read_start(self, name: str, size: int) -> bytes:
        """By one read."""
        with _explained(self._path(name)), self._path(name).open("rb") as file:
            return file.read(size)

    def sha256(self, name: str) -> str:
        """Digest of the file."""
        with _explained(self._path(name)), self._path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write beside, flush to disk, rename."""
        with _explained(self._path(name)), replacing(self._path(name)) as file:
            file.write(data)

    def create(self, name: str, data: bytes) -> None:
        """Write beside, flush to disk, link: a name is given only once."""
        path = self._path(name)
        with _explained(path), unfinished_beside(path) as unfinished:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            is_ours = _take_name(unfinished, path)
        if not is_ours:
            raise FileExistsError(f"{path} exists")

    def upload(self, local: Path, name: str) -> None:
        """Copy in."""
        with _explained(self._path(name)), local.open("rb") as source, replacing(self._path(name)) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def download(self, name: str, local: Path) -> None:
        """Copy out."""
        with _explained(self._path(name)), self._path(name).open("rb") as source, replacing(local) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def exists(self, name: str) -> bool:
        """Whether it is a file."""
        with _explained(self._path(name)):
            return self._path(name).is_file()

    def list(self, name: str) -> list[str]:
        """All files below, without what a killed process left unfinished.

        Folders that another process removes meanwhile (a checkpoint that is no longer kept) are left out.
        """
        with _explained(self._path(name)):
            folders = list(os.walk(self._path(name), onerror=_unless_gone))
        files = [
            Path(folder) / file for folder, _, names in folders for file in names if not file.startswith(UNFINISHED)
        ]
        return [file.relative_to(self._root).as_posix() for file in files]

    def delete(self, name: str) -> None:
        """Remove a file or a tree."""
        path = self._path(name)
        with _explained(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def open_input(self, name: str) -> Any:
        """The file, by ordinary reads: a memory map would count the page cache as the reader's memory."""
        with _explained(self._path(name)):
            return pa.OSFile(str(self._path(name)), "rb")

    def _path(self, name: str) -> Path:
        return self._root / name if name else self._root


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path` only when the block ends well and its bytes are on the disk."""
    with unfinished_beside(path) as unfinished:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


@contextmanager
def unfinished_beside(path: Path) -> Iterator[Path]:
    """A name for what is to become `path`, in the same folder; nothing is left of it when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f"{UNFINISHED}{uuid.uuid4().hex}"
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def _take_name(unfinished: Path, path: Path) -> bool:
    """Whether a file could be given a name that no file had."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links (FAT, some mounted buckets): a reader may see a part of the file
        try:
            with path.open("xb") as file:
                file.write(unfinished.read_bytes())
        except FileExistsError:
            return False
    return True


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        advice = ADVICE.get(error.errno or 0)
        raise StorageError(f"{path}: {error.strerror or error}{f': {advice}' if advice else ''}") from error


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
