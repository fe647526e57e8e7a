"""Who does the courier's work: this thread, or a process beside the training."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Protocol, runtime_checkable

from gen_dist.tracking.courier import Courier, RefusedError, Store, UnavailableError
from gen_dist.tracking.ledger import Ledger
from gen_dist.tracking.spool import Spool, SpoolBusyError


@runtime_checkable
class Carrier(Protocol):
    """Delivers one spool, again and again. It is the only one to do so until it is closed."""

    def deliver(self) -> None:
        """Deliver all that waits; raises when that was not possible."""
        ...

    def close(self) -> None:
        """Let others deliver the spool."""
        ...


def describe(error: Exception) -> str:
    """Why a delivery failed, for people; an error that nobody expected says its kind."""
    if isinstance(error, UnavailableError | RefusedError | SpoolBusyError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


class LocalCarrier:
    """Works in the thread that calls it."""

    def __init__(self, spool: Spool, connect: Callable[[], Store]) -> None:
        self._spool = spool
        self._connect = connect
        self._resources = ExitStack()
        self._courier: Courier | None = None

    def deliver(self) -> None:
        """Deliver all that waits.

        Raises:
            SpoolBusyError: somebody else is delivering this spool.
            UnavailableError: the store can't be reached.
        """
        if self._courier is None:
            self._courier = self._open()
        self._courier.deliver()

    def _open(self) -> Courier:
        with ExitStack() as opening:
            opening.enter_context(self._spool.lock())
            ledger = opening.enter_context(closing(Ledger(self._spool.ledger_path)))
            courier = Courier(self._spool, ledger, self._connect())
            self._resources = opening.pop_all()
        return courier

    def close(self) -> None:
        """Let others deliver the spool."""
        self._courier = None
        self._resources.close()
