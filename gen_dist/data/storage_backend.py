"""What a place that keeps files must be able to do."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Backend(Protocol):
    """What a place must be able to do. Names are absolute inside the place ("/"-separated) and already checked."""

    def uri(self, name: str) -> str:
        """The URI that a user would type for this name."""

    def local_path(self, name: str) -> Path | None:
        """The path on this machine, if there is one."""

    def read_bytes(self, name: str) -> bytes:
        """The whole file; FileNotFoundError when absent."""

    def read_start(self, name: str, size: int) -> bytes:
        """The first `size` bytes, fewer when it is shorter; FileNotFoundError when absent."""

    def sha256(self, name: str) -> str:
        """Digest of the file; FileNotFoundError when absent."""

    def write_bytes(self, name: str, data: bytes) -> None:
        """Replace the file in one step."""

    def create(self, name: str, data: bytes) -> None:
        """Write the file in one step where there is none; FileExistsError where there is one."""

    def upload(self, local: Path, name: str) -> None:
        """Copy a local file in, visible only when whole."""

    def download(self, name: str, local: Path) -> None:
        """Copy a file out, visible at `local` only when whole."""

    def exists(self, name: str) -> bool:
        """Whether a file has this name."""

    def list(self, name: str) -> list[str]:
        """Names of all files that lie below, in any order."""

    def delete(self, name: str) -> None:
        """Remove the file of this name and all that lies below it."""

    def open_input(self, name: str) -> Any:
        """A seekable pyarrow NativeFile."""
