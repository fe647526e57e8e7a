"""The endless shuffled order of a split: which stored row stands at which position.

Epoch e permutes the row groups, deals them into windows of `WINDOW_GROUPS`, and shuffles the rows of each window:

    stored groups      0 1 2 3 4 5 6 7 8
    epoch's groups     5 0 7 3 | 8 1 2 6 | 4       permuted, then cut into windows
    epoch's rows       shuffled | shuffled | ..    within each window

So a reader that holds one window at a time sees the same order as one that holds everything, and position p is a pure
function of (seed, p). Rows are stored in a random order already, which makes windows of a few groups enough.

The sources of an unpaired set are shuffled within the same windows by a permutation of their own: every epoch shows
each of them once, beside another image than in the epoch before.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import final

import numpy as np
from numpy.typing import NDArray

WINDOW_GROUPS = 4


def random_generator(*purpose: str | int) -> np.random.Generator:
    """A generator that belongs to this purpose alone, the same on every machine."""
    digest = hashlib.blake2b(repr(purpose).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


@dataclass(frozen=True, slots=True)
class Window:
    """Some row groups of one epoch, in the order in which they are laid side by side.

    Attributes:
        epoch: index of the epoch.
        index: index of the window in its epoch.
        groups: indices of the row groups.
        start: position in the epoch of the window's first row.
        num_rows: rows of all these groups.
    """

    epoch: int
    index: int
    groups: tuple[int, ...]
    start: int
    num_rows: int


@final
class ShuffledOrder:
    """The order for row groups of these sizes; positions are counted from 0 through all epochs."""

    def __init__(self, group_rows: tuple[int, ...], seed: int) -> None:
        self._group_rows = np.array(group_rows, dtype=np.int64)
        self._seed = seed
        self.num_rows = int(self._group_rows.sum())
        # Two of each: a batch may straddle two epochs, and the next one is prepared while this one is used.
        self.windows = lru_cache(maxsize=2)(self._windows)
        self.rows_of_epoch = lru_cache(maxsize=2)(partial(self._of_epoch, self.rows_of_window))
        self.sources_of_epoch = lru_cache(maxsize=2)(partial(self._of_epoch, self.sources_of_window))

    def rows_of_window(self, window: Window) -> NDArray[np.int64]:
        """For each place of the window, which of its laid-out rows stands there."""
        return random_generator("window", self._seed, window.epoch, window.index).permutation(window.num_rows)

    def sources_of_window(self, window: Window) -> NDArray[np.int64]:
        """For each place of the window, which of its laid-out rows lends the source there, when they are unpaired."""
        return random_generator("sources", self._seed, window.epoch, window.index).permutation(window.num_rows)

    def _windows(self, epoch: int) -> tuple[Window, ...]:
        groups = random_generator("groups", self._seed, epoch).permutation(len(self._group_rows))
        windows: list[Window] = []
        start = 0
        for index, first in enumerate(range(0, len(groups), WINDOW_GROUPS)):
            chosen = tuple(int(group) for group in groups[first : first + WINDOW_GROUPS])
            num_rows = int(self._group_rows[list(chosen)].sum())
            windows.append(Window(epoch, index, chosen, start, num_rows))
            start += num_rows
        return tuple(windows)

    def _of_epoch(self, of_window: Callable[[Window], NDArray[np.int64]], epoch: int) -> NDArray[np.int64]:
        starts = np.cumsum(self._group_rows) - self._group_rows
        parts: list[NDArray[np.int64]] = []
        for window in self.windows(epoch):
            laid_out = [starts[group] + np.arange(self._group_rows[group]) for group in window.groups]
            parts.append(np.concatenate(laid_out)[of_window(window)])
        return np.concatenate(parts)
