"""Whether somebody asked a run to stop, by a file in its folder."""

import logging
import threading
from typing import final

from gen_dist.data.storage import Storage
from gen_dist.workflows.job import STOP_REQUEST

EVERY_SECONDS = 2.0

_log = logging.getLogger(__name__)


@final
class StopRequestWatch:
    """Looks again and again, from a thread: a store that is away for a while must not hold up the training.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Storage) -> None:
        self._folder = folder
        self._ended, self._asked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stop-request", daemon=True)

    @property
    def asked(self) -> bool:
        """Whether the run is to stop."""
        return self._asked.is_set()

    def __enter__(self) -> "StopRequestWatch":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()  # a look that hangs in the network is left to end with the process

    def _watch(self) -> None:
        well = True
        while not self._ended.wait(EVERY_SECONDS):
            try:
                if self._folder.exists(STOP_REQUEST):
                    self._asked.set()
                    self._folder.delete(STOP_REQUEST)
                    return
                well = True
            except (OSError, ValueError) as error:
                if self._asked.is_set():
                    return
                if well:
                    _log.warning("%s can't be asked for a stop request: %s", self._folder.uri, error)
                well = False
