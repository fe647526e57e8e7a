"""How the wall time of a study is shared out."""

import math
import time
from collections.abc import Callable
from typing import final

SEARCH_SHARE = 0.45
"""Of a time budget; the rest belongs to the confirmation, whose runs are longer and fewer."""
RESERVE_SHARE = 0.08
"""Of a time budget, for what is not training: starting processes, evaluating, drawing the report."""
LEAST_CONFIRMATION_SHARE = 0.05
"""Of a time budget: a confirmation run is never cut shorter, even when the search took too long."""


@final
class Budget:
    """The wall time of a study, from now on. Without a limit every share is None."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._began = clock()

    def for_search(self) -> float | None:
        """Seconds for the search."""
        return None if self._seconds is None else self._seconds * SEARCH_SHARE

    def left_for_search(self) -> float | None:
        """Seconds that are left of the search's share, at least one."""
        share = self.for_search()
        return None if share is None else max(1.0, share - (self._clock() - self._began))

    def search_is_over(self) -> bool:
        """Whether the search had its time."""
        share = self.for_search()
        return share is not None and self._clock() - self._began >= share

    def for_each(self, runs: int, *, at_once: int) -> float | None:
        """Training seconds of each of the confirmation runs that share what is left."""
        if self._seconds is None or not runs:
            return None
        left = self._seconds * (1.0 - RESERVE_SHARE) - (self._clock() - self._began)
        return max(self._seconds * LEAST_CONFIRMATION_SHARE, left / math.ceil(runs / max(1, at_once)))
