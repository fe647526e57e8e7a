"""The folder in which everything that a run logs waits until MLflow has it.

run.json      which run this is
store.txt     address of the MLflow store that it was started with
journal.jsonl what was logged, in order (written by the training thread, never changed)
ledger.sqlite what of it was delivered  (written by the delivery thread)
artifacts/    copies of files that are not delivered yet
lock          held by the one process that delivers
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gen_dist.serialization import from_json, to_json
from gen_dist.tracking.journal import Record
from gen_dist.tracking.ledger import count_waiting
from gen_dist.tracking.tracker import Backlog

IDENTITY_NAME = "run.json"
STORE_NAME = "store.txt"
_NAME = re.compile(r"[\w.\-][\w.\- /]{0,199}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunIdentity:
    """Which run this is, however often it is restarted.

    Attributes:
        name: unique in the experiment; the run is found again by it (tag `gen_dist.run_name`).
        experiment: MLflow experiment.
        parent: name of the run that this one belongs to (a trial's study), or None.
    """

    name: str
    experiment: str = "gen_dist"
    parent: str | None = None

    def __post_init__(self) -> None:
        for field, value in (("name", self.name), ("experiment", self.experiment), ("parent", self.parent or "none")):
            if not _NAME.fullmatch(value):
                raise ValueError(
                    f"the run's {field} is {value!r}: use at most 200 letters, digits, '.', '-', '_', '/' and spaces"
                )


class SpoolBusyError(OSError):
    """Another process is delivering this spool; it takes what this one logs along."""


class Spool:
    """The paths of one spool and what is done to it as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal_path = folder / "journal.jsonl"
        self.ledger_path = folder / "ledger.sqlite"
        self.artifact_folder = folder / "artifacts"

    def claim(self, identity: RunIdentity, store_uri: str) -> None:
        """Make the folder, or check that it is this run's; remember which store (no password in it) it is for.

        Raises:
            ValueError: the folder belongs to another run.
        """
        self.artifact_folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(self.folder / STORE_NAME, store_uri.encode())
        path = self.folder / IDENTITY_NAME
        if path.exists():
            owner = self.identity()
            if owner != identity:
                raise ValueError(
                    f"{self.folder} holds the history of run {owner.name!r} (experiment {owner.experiment!r}, parent "
                    f"{owner.parent!r}), not of {identity.name!r} ({identity.experiment!r}, {identity.parent!r}): "
                    "give each run a folder of its own"
                )
            return
        replace_bytes(path, to_json(identity, indent=2).encode())

    def identity(self) -> RunIdentity:
        """The run that this spool belongs to.

        Raises:
            ValueError: the folder is no spool.
        """
        path = self.folder / IDENTITY_NAME
        if not path.exists():
            raise ValueError(f"{self.folder} is not a tracking spool: it has no {IDENTITY_NAME}")
        return from_json(path.read_text(), RunIdentity)

    def store_uri(self) -> str:
        """The store that the run was last started with."""
        return (self.folder / STORE_NAME).read_text()

    def sync_artifacts(self) -> None:
        """Force the files that wait to the disk."""
        for path in self.artifact_folder.iterdir():
            with suppress(FileNotFoundError), path.open("rb") as file:  # delivered meanwhile
                os.fsync(file.fileno())

    def keep_artifact(self, path: Path, folder: str) -> Record:
        """Copy a file into the spool; returns the record that tells what it is."""
        kept = self._new_artifact()
        with _whole(kept):
            shutil.copyfile(path, kept)
        return {"kind": "artifact", "file": kept.name, "name": path.name, "folder": folder}

    def keep_bytes(self, content: bytes, name: str) -> Record:
        """The same for a file that exists in memory only; `name` is its path inside the run."""
        kept = self._new_artifact()
        with _whole(kept):
            kept.write_bytes(content)
        folder, _, last = name.rpartition("/")
        return {"kind": "artifact", "file": kept.name, "name": last, "folder": folder}

    def _new_artifact(self) -> Path:
        while True:
            path = self.artifact_folder / f"{time.time_ns()}"
            if not path.exists():
                return path

    def backlog(self, reason: str | None = None) -> Backlog:
        """What MLflow does not have yet."""
        waiting = count_waiting(self.ledger_path, self.journal_path)
        return Backlog(
            points=waiting.points,
            settings=waiting.settings,
            artifacts=waiting.errands,
            refused=tuple(waiting.refusals),
            reason=reason,
            folder=self.folder,
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one who delivers.

        Raises:
            SpoolBusyError: somebody else is.
        """
        with (self.folder / "lock").open("a") as file:
            _lock(file, self.folder)
            yield


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Leave nothing of a file that could not be written whole."""
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def find_spools(folder: Path) -> list[Spool]:
    """Every spool at or below a folder, studies before their trials."""
    spools = [Spool(path.parent) for path in sorted(folder.rglob(IDENTITY_NAME)) if _is_spool(path.parent)]
    return sorted(spools, key=lambda spool: spool.identity().parent is not None)


def _is_spool(folder: Path) -> bool:
    return (folder / "journal.jsonl").exists()


def _lock(file: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SpoolBusyError(f"another process is delivering {folder}") from error


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, forced to the disk."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
