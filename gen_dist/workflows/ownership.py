"""Who goes on with a run: the last one who said so. Anybody before is told at its next checkpoint, and ends.

No lock could do this on an object store, where a process that died would hold it for ever. The one who was overtaken
writes nothing any more, so the run's folder holds one history whoever else believes to be in charge.
"""

import json
import os
import socket
import uuid
from datetime import UTC, datetime
from typing import final

from gen_dist.data.storage import Storage
from gen_dist.training.checkpointing import WritingForbiddenError

OWNER = "owner.json"


class OvertakenError(WritingForbiddenError):
    """Another process has gone on with this run."""


@final
class Ownership:
    """One process's claim on a run. It is text, so that the driver's claim holds for its workers.

    Args:
        text: of a claim that `take` has made.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @staticmethod
    def take(folder: Storage) -> "Ownership":
        """Be the one who goes on with the run in this folder."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        facts = {"claim": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid(), "since": now}
        ownership = Ownership(json.dumps(facts, indent=1))
        folder.write_bytes(OWNER, ownership.text.encode())
        return ownership

    def check(self, folder: Storage) -> None:
        """Say nothing while the claim holds.

        Raises:
            OvertakenError: somebody else has taken the run since; the message says who.
            StorageError: the folder can't be read.
        """
        try:
            found = folder.read_bytes(OWNER).decode(errors="replace")
        except FileNotFoundError:
            return  # somebody tidied up; nobody else has claimed the run
        if found == self.text:
            return
        raise OvertakenError(
            f"{folder.uri}: another process has gone on with this run, so this one ends and writes nothing more. "
            f"The other: {' '.join(found.split())}"
        )
