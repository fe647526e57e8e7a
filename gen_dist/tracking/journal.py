"""An append-only file of JSON lines: what a run has said, written before anybody tries to send it anywhere."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Journal:
    """The writing end. One `write` call per record, so a killed process leaves whole lines behind."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # a line that a power failure tore stays alone on its line

    def append(self, record: Mapping[str, Any]) -> None:
        """Hand one record to the operating system: it survives this process, though not yet a power failure."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            written = os.write(self._file, line)
        if written < len(line):
            raise OSError(f"the disk of the run's folder took {written} of {len(line)} bytes: it is probably full")

    def sync(self) -> None:
        """Force everything to the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file; what was appended stays."""
        with self._lock:
            os.close(self._file)


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
