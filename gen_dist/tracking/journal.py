"""An append-only file of JSON lines: what a run has said, written before anybody tries to send it anywhere."""

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_log = logging.getLogger(__name__)


class Journal:
    """The writing end. One `write` call per record, so a killed process leaves whole lines behind."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._unwritten = b""
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # a line that a power failure tore stays alone on its line

    def append(self, record: Mapping[str, Any]) -> None:
        """Hand one record to the operating system: it survives this process, though not yet a power failure.

        What a full disk does not take waits in memory, in order, and is tried again with every later call: a history
        is no reason to end a training.
        """
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            was_well = not self._unwritten
            self._unwritten += line
            failure = self._write()
        if failure is not None and was_well:
            _log.warning(
                "%s can't be written (%s): free space on its disk; until then the history of this run waits in memory",
                self._path, failure.strerror or failure,
            )  # fmt: skip

    def _write(self) -> OSError | None:
        """Write what waits; returns why something still does."""
        try:
            while self._unwritten:
                written = os.write(self._file, self._unwritten)  # a disk that is almost full takes a part
                self._unwritten = self._unwritten[written:]
        except OSError as error:
            return error
        return None

    def sync(self) -> None:
        """Force to the disk what the operating system took."""
        with self._lock:
            self._write()
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file; what was appended stays, and what could not be is lost with a warning."""
        with self._lock:
            failure = self._write()
            os.close(self._file)
        if failure is not None:
            _log.warning("%s lacks the end of this run's history: %s", self._path, failure.strerror or failure)


def read(path: Path, offset: int) -> Iterator[tuple[Record | None, int]]:
    """The complete lines from `offset` on, each with the offset behind it; None for a line that is not a record."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield _parse(line), offset


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
