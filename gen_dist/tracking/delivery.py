"""The thread that delivers a spool while training goes on."""

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gen_dist.tracking.carrier import Carrier, describe

LONGEST_DELAY_SECONDS = 60.0
IMPATIENT_DELAY_SECONDS = 1.0

_log = logging.getLogger(__name__)


class DeliveryThread:
    """Delivers at intervals, less and less often while MLflow does not answer, and when it is asked to."""

    def __init__(self, carrier: Carrier, folder: Path, interval_seconds: float, afterwards: Callable[[], None]) -> None:
        """Prepare; `folder` is for people to read, `afterwards` is called once, in the thread, when all is there."""
        self._carrier = carrier
        self._folder = folder
        self._interval = interval_seconds
        self._afterwards: Callable[[], None] | None = afterwards
        self._changed = threading.Condition()
        self._requested = 0  # how often somebody has asked for a delivery
        self._attempted = 0  # the last request that an attempt knew of
        self._completed = 0  # the last request that a successful attempt knew of
        self._stopping = False
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="gen_dist-tracking", daemon=True)

    def start(self) -> None:
        """Begin delivering."""
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why the last attempt failed, or None."""
        return self._failure

    def deliver_now(self, timeout_seconds: float) -> bool:
        """Wait until all that was logged before this call is delivered; False when the time is up first."""
        with self._changed:
            self._requested += 1
            request = self._requested
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._completed >= request, timeout_seconds)

    def stop(self, timeout_seconds: float) -> None:
        """Begin no further attempt; one that hangs in the network is left to end with the process."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        delay = 0.0
        with closing(self._carrier):
            while self._pause(delay):
                failure = None
                try:
                    self._carrier.deliver()
                    self._deliver_the_rest()
                except Exception as error:  # noqa: BLE001  the thread's edge: artifact stores raise what they like
                    failure = describe(error)
                delay = next_delay(delay, self._interval, failed=failure is not None)
                self._note(failure)

    def _deliver_the_rest(self) -> None:
        afterwards, self._afterwards = self._afterwards, None
        if afterwards is not None:
            afterwards()

    def _pause(self, delay: float) -> bool:
        """Wait for the next attempt; False when there is to be none."""
        with self._changed:
            if self._completed < self._requested:  # somebody waits
                delay = min(delay, IMPATIENT_DELAY_SECONDS)
            self._changed.wait_for(lambda: self._stopping or self._requested > self._attempted, delay)
            self._attempted = self._requested
            return not self._stopping

    def _note(self, failure: str | None) -> None:
        before = self._failure
        with self._changed:
            self._failure = failure
            if failure is None:
                self._completed = self._attempted
            self._changed.notify_all()
        if failure is not None and before is None:
            _log.warning("MLflow takes nothing at the moment; what is logged waits in %s (%s)", self._folder, failure)
        if failure is None and before is not None:
            _log.warning("MLflow answers again: everything logged so far is delivered")


def next_delay(delay: float, interval: float, *, failed: bool) -> float:
    """Seconds to the next attempt: doubled with every failure up to a minute, the usual interval after a success."""
    return min(max(2 * delay, interval), LONGEST_DELAY_SECONDS) if failed else interval
