"""Writing checkpoints in the background, and finding the one to go on from."""

import queue
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import final

from gen_dist.data.storage import Storage
from gen_dist.distributed.world import World
from gen_dist.training.checkpoint import (
    MANIFEST,
    Checkpoint,
    CheckpointError,
    complete_keys,
    read_checkpoint,
    write_checkpoint,
)

_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 1.0


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read; training goes on."""


class UnwrittenError(CheckpointError):
    """The last checkpoint of a run could not be written."""


class WritingForbiddenError(ValueError):
    """The checkpoints of this run are somebody else's now."""


def always() -> None:
    """Nobody forbids anything."""


@final
class CheckpointWriter:
    """Writes checkpoints from a thread, so that training never waits for a disk or a network.

    A failed write is tried again a few times, then reported as a warning: the run goes on and the next checkpoint may
    succeed. Only `close` raises, when the newest checkpoint could not be written.

    Args:
        storage: the folder that holds the checkpoints of one run.
        keep: how many complete checkpoints stay.
        permit: asked before every write; a `WritingForbiddenError` that it raises ends the writing for good.
        pause: waits between attempts; tests pass one that does not.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        keep: int,
        permit: Callable[[], None] = always,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.storage = storage
        self.keep = keep
        self.last_key: str | None = None
        self._permit = permit
        self._pause = pause
        self._forbidden: WritingForbiddenError | None = None
        self._failure: Exception | None = None
        self._queue: queue.Queue[Checkpoint | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._work, name="checkpoint-writer", daemon=True)
        self._thread.start()

    def submit(self, checkpoint: Checkpoint) -> None:
        """Hand over a checkpoint; waits only while the one before the last is still being written.

        Raises:
            WritingForbiddenError: nothing may be written any more.
        """
        if self._forbidden is not None:
            raise self._forbidden
        self._queue.put(checkpoint)

    def flush(self) -> None:
        """Wait until everything handed over was written or given up."""
        self._queue.join()

    def close(self) -> None:
        """Finish the writing.

        Raises:
            WritingForbiddenError: nothing may be written any more.
            UnwrittenError: the newest checkpoint could not be written.
        """
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        if self._forbidden is not None:
            raise self._forbidden
        if self._failure is not None:
            raise UnwrittenError(
                f"the last checkpoint could not be written below {self.storage.uri}: {self._failure}. The newest "
                f"complete one is {self.last_key or 'none of this start'}: put that right, then go on with --resume"
            ) from self._failure

    def _work(self) -> None:
        while (checkpoint := self._queue.get()) is not None:
            try:
                self._write(checkpoint)
            finally:
                self._queue.task_done()

    def _write(self, checkpoint: Checkpoint) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                self._permit()
                key = write_checkpoint(self.storage, checkpoint)
                self._failure, self.last_key = None, key
            except WritingForbiddenError as error:
                self._forbidden = error
                return
            except Exception as error:  # noqa: BLE001 - a full disk, a refusing store; a dead thread would hang the run
                self._failure = error
                if attempt + 1 < _ATTEMPTS:
                    self._pause(_FIRST_PAUSE_SECONDS * 2**attempt)
            else:
                self._prune(key)
                return
        with suppress(OSError, ValueError):  # a part of a checkpoint would only take room from the next one
            self.storage.delete(checkpoint.key)
        warnings.warn(
            f"checkpoint {checkpoint.key} could not be written below {self.storage.uri}: {self._failure}; "
            f"training goes on, the newest complete one is {self.last_key or 'none'}",
            CheckpointWarning,
            stacklevel=2,
        )

    def _prune(self, newest: str) -> None:
        """Delete what is older than the newest few, and the parts that a killed run left.

        A manifest goes first, so that no half-deleted checkpoint looks complete. What is newer than the one that was
        just written was refused when this run went on from an older one: it doesn't count, and it stays.
        """
        try:
            complete = [key for key in complete_keys(self.storage) if key <= newest]
            found = {file.split("/")[0] for file in self.storage.list() if "/" in file}
            for key in sorted(key for key in found if key <= newest and key not in complete[: self.keep]):
                self.storage.delete(f"{key}/{MANIFEST}")
                self.storage.delete(key)
        except (OSError, ValueError) as error:  # say, credentials that may not delete: nothing is lost by it
            message = f"old checkpoints below {self.storage.uri} stay, they can't be deleted: {error}"
            warnings.warn(message, CheckpointWarning, stacklevel=2)


def latest_checkpoint(storage: Storage) -> Checkpoint | None:
    """The newest sound checkpoint below `storage`, or None. Damaged ones are named in a warning and passed over."""
    for key in complete_keys(storage):
        try:
            return read_checkpoint(storage, key)
        except CheckpointError as error:
            warnings.warn(f"{error}; the checkpoint before it is used", CheckpointWarning, stacklevel=2)
    return None


def agreed_checkpoint(storage: Storage, world: World) -> Checkpoint | None:
    """The newest sound checkpoint, chosen by worker 0 so that all go on from the same one."""
    mine = latest_checkpoint(storage) if world.rank == 0 else None
    key = world.tell(None if mine is None else mine.key)
    if key is None or mine is not None:
        return mine
    return read_checkpoint(storage, key)
