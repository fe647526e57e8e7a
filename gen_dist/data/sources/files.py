"""Where the files of a folder of images lie: on this machine, or below a prefix of S3."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol, final, runtime_checkable

from gen_dist.data.errors import DataError
from gen_dist.data.storage import Storage, open_storage


@runtime_checkable
class Files(Protocol):
    """Files by their paths below a folder."""

    @property
    def name(self) -> str:
        """The folder, as the user wrote it."""

    @property
    def address(self) -> str:
        """The folder, as any process finds it."""

    def paths(self) -> Iterator[PurePosixPath]:
        """All files, in any order; hidden ones are left out."""

    def where(self, path: PurePosixPath) -> str:
        """Names the file in messages."""

    def start(self, path: PurePosixPath, size: int) -> bytes:
        """The first `size` bytes, fewer when the file ends; DataError when it can't be read."""


@final
class LocalFiles:
    """See `Files`."""

    def __init__(self, folder: Path) -> None:
        self.name, self.address = str(folder), str(folder.absolute())
        self._folder = folder

    def paths(self) -> Iterator[PurePosixPath]:
        """All files, links followed."""
        for path in self._folder.rglob("*"):
            relative = PurePosixPath(path.relative_to(self._folder).as_posix())
            if not _hidden(relative) and path.is_file():
                yield relative

    def where(self, path: PurePosixPath) -> str:
        """Its path."""
        return str(self._folder / path)

    def start(self, path: PurePosixPath, size: int) -> bytes:
        """By one read."""
        try:
            with (self._folder / path).open("rb") as content:
                return content.read(size)
        except OSError as error:
            raise DataError(f"it can't be read ({error.strerror or error})") from error


@final
class StoredFiles:
    """See `Files`."""

    def __init__(self, storage: Storage) -> None:
        self.name = self.address = storage.uri
        self._storage = storage

    def paths(self) -> Iterator[PurePosixPath]:
        """All objects below the prefix."""
        return (path for path in map(PurePosixPath, self._storage.list()) if not _hidden(path))

    def where(self, path: PurePosixPath) -> str:
        """Its URI."""
        return f"{self.name}/{path}"

    def start(self, path: PurePosixPath, size: int) -> bytes:
        """By one request."""
        try:
            return self._storage.read_start(path.as_posix(), size)
        except FileNotFoundError as error:
            raise DataError("it can't be read (it is gone)") from error


def files_at(folder: str | Path) -> Files:
    """The files of a folder, or of an s3:// prefix."""
    if isinstance(folder, str) and folder.startswith("s3://"):
        return StoredFiles(open_storage(folder))
    return LocalFiles(Path(folder).expanduser())


def _hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)
