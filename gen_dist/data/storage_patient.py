"""A place that may be away for a while: whoever can only wait asks it again, instead of failing."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, final

from gen_dist.data.errors import AwayError
from gen_dist.data.storage_backend import Backend

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 15.0
T = TypeVar("T")

_log = logging.getLogger(__name__)


@final
class PatientBackend:
    """See `gen_dist.data.storage_backend.Backend`. Every request that the place did not answer is made again.

    Args:
        backend: the place.
        seconds: how long it may be away before its error is passed on.
    """

    def __init__(self, backend: Backend, seconds: float) -> None:
        self._backend, self._seconds = backend, seconds

    def uri(self, name: str) -> str:
        """As the place has it."""
        return self._backend.uri(name)

    def local_path(self, name: str) -> Path | None:
        """As the place has it."""
        return self._backend.local_path(name)

    def read_bytes(self, name: str) -> bytes:
        """The whole file."""
        return self._again(lambda: self._backend.read_bytes(name))

    def read_start(self, name: str, size: int) -> bytes:
        """Its first bytes."""
        return self._again(lambda: self._backend.read_start(name, size))

    def sha256(self, name: str) -> str:
        """Digest of the file."""
        return self._again(lambda: self._backend.sha256(name))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Replace the file; written twice, it is the same."""
        self._again(lambda: self._backend.write_bytes(name, data))

    def create(self, name: str, data: bytes) -> None:
        """Write the file where there is none. Once: a second attempt could take its own first one for another's."""
        self._backend.create(name, data)

    def upload(self, local: Path, name: str) -> None:
        """Copy a local file in."""
        self._again(lambda: self._backend.upload(local, name))

    def download(self, name: str, local: Path) -> None:
        """Copy a file out."""
        self._again(lambda: self._backend.download(name, local))

    def exists(self, name: str) -> bool:
        """Whether a file has this name."""
        return self._again(lambda: self._backend.exists(name))

    def list(self, name: str) -> list[str]:
        """Names of all files that lie below."""
        return self._again(lambda: self._backend.list(name))

    def delete(self, name: str) -> None:
        """Remove the file and all that lies below it; what is gone already is no error."""
        self._again(lambda: self._backend.delete(name))

    def open_input(self, name: str) -> Any:
        """A seekable pyarrow NativeFile. Reading from it is not repeated here."""
        return self._again(lambda: self._backend.open_input(name))

    def _again(self, request: Callable[[], T]) -> T:
        return patiently(request, self._seconds, self.uri(""))


def patiently(
    request: Callable[[], T], seconds: float, place: str, *, outages: tuple[type[Exception], ...] = (AwayError,)
) -> T:
    """What the request answers, made again and again while the place is away.

    Args:
        request: may be carried out twice without harm.
        seconds: how long the place may be away before its error is passed on.
        place: its name, for people.
        outages: errors that say that it is away.
    """
    began, pause = time.monotonic(), FIRST_PAUSE_SECONDS
    while True:
        try:
            answer = request()
        except outages as error:
            left = began + seconds - time.monotonic()
            if left <= 0:
                raise
            if pause == FIRST_PAUSE_SECONDS:
                _log.warning("%s; waiting for it, for up to %.0f minutes", error, seconds / 60)
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        else:
            if pause != FIRST_PAUSE_SECONDS:
                _log.warning("%s answers again", place)
            return answer
