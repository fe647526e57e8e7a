"""The training images of one split as one endless sequence in shuffled order, from memory or through a window."""

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from gen_dist.data.order import WINDOW_GROUPS, ShuffledOrder, Window
from gen_dist.data.rows import Rows, empty_batch
from gen_dist.data.shards import SplitReader
from gen_dist.types import DataSpec, ImageBatch

MAX_PREPARED = 64


@runtime_checkable
class RowSource(Protocol):
    """Copies the rows at positions [start, start + len) of the shuffled order."""

    def gather(self, start: int, batch: Rows) -> None:
        """Fill the batch; safe to call from two threads."""

    def close(self) -> None:
        """Let go of all memory."""


@final
class MemorySource:
    """All rows at once. The whole epoch's order is laid out, so that a batch is one indexed copy."""

    def __init__(self, reader: SplitReader, order: ShuffledOrder, spec: DataSpec) -> None:
        self._rows = reader.read_all()
        self._order = order
        self._sources_of_epoch = order.sources_of_epoch if _is_unpaired(spec) else order.rows_of_epoch

    def gather(self, start: int, batch: Rows) -> None:
        """See RowSource."""
        done = 0
        while done < len(batch.images):
            epoch, position = divmod(start + done, self._order.num_rows)
            part = slice(position, position + len(batch.images) - done)
            chosen = self._order.rows_of_epoch(epoch)[part]
            batch.put(done, self._rows, chosen, self._sources_of_epoch(epoch)[part])
            done += len(chosen)

    def close(self) -> None:
        """See RowSource."""
        self._rows = Rows(self._rows.images[:0].copy())


@dataclass(frozen=True, slots=True)
class Held:
    """A window that lies, or will lie once it was read, in one of the rooms."""

    window: Window
    room: int
    order: NDArray[np.int64]
    sources: NDArray[np.int64]


@final
class WindowSource:
    """One window of the order at a time and, if the budget allows, the next one being read meanwhile.

    Windows are read into rooms that are allocated once: memory that is freed and allocated anew comes back to the
    system late or never, and would exceed the budget.
    """

    def __init__(self, reader: SplitReader, order: ShuffledOrder, spec: DataSpec, budget_bytes: int) -> None:
        window_rows = sum(sorted(reader.group_rows)[-WINDOW_GROUPS:])
        least = window_rows * reader.row_bytes + reader.decoding_bytes
        if budget_bytes < least:
            raise ValueError(
                f"memory_budget_bytes is {budget_bytes}: reading this split takes at least {least} (one window of "
                f"{WINDOW_GROUPS} row groups and one group being decoded)"
            )
        self._reads_ahead = budget_bytes >= least + window_rows * reader.row_bytes
        self._rooms = [Rows.empty(window_rows, spec) for _ in range(2 if self._reads_ahead else 1)]
        self._reader = reader
        self._order = order
        self._is_unpaired = _is_unpaired(spec)
        self._gathering = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "gen-dist-read-ahead")
        self._current: Held | None = None
        self._next: tuple[Window, int, Future[None]] | None = None

    def gather(self, start: int, batch: Rows) -> None:
        """See RowSource."""
        with self._gathering:
            done = 0
            while done < len(batch.images):
                held = self._held_at(start + done)
                position = (start + done) % self._order.num_rows - held.window.start
                part = slice(position, position + len(batch.images) - done)
                chosen = held.order[part]
                batch.put(done, self._rooms[held.room], chosen, held.sources[part])
                done += len(chosen)

    def close(self) -> None:
        """See RowSource."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._current = self._next = None
        self._rooms.clear()

    def _held_at(self, position: int) -> Held:
        epoch, offset = divmod(position, self._order.num_rows)
        current = self._current
        if current and current.window.epoch == epoch and 0 <= offset - current.window.start < current.window.num_rows:
            return current
        window = next(w for w in self._order.windows(epoch) if offset < w.start + w.num_rows)
        self._current = None
        room = self._room_read_ahead(window)
        if room is None:
            room = 0
            self._reader.read_groups(window.groups, self._rooms[room])
        order = self._order.rows_of_window(window)
        sources = self._order.sources_of_window(window) if self._is_unpaired else order
        self._current = Held(window, room, order, sources)
        if self._reads_ahead:
            following, free = self._following(window), 1 - room
            future = self._thread.submit(self._reader.read_groups, following.groups, self._rooms[free])
            self._next = following, free, future
        return self._current

    def _room_read_ahead(self, window: Window) -> int | None:
        """The room into which this window was read ahead, or None; then no reading is under way in any room."""
        if self._next is None:
            return None
        expected, room, future = self._next
        self._next = None
        if expected == window:
            future.result()
            return room
        if not future.cancel():
            # Wait for it; whether it failed is of no interest, since nobody wants this window now.
            future.exception()
        return None

    def _following(self, window: Window) -> Window:
        windows = self._order.windows(window.epoch)
        last = window.index + 1 == len(windows)
        return self._order.windows(window.epoch + 1)[0] if last else windows[window.index + 1]


@final
class ImageStream:
    """Images at any position of the endless shuffled order, the same for every reader of the same seed.

    Position p lies in epoch p // num_images. What stands there depends on the dataset, the seed and p alone: not on
    the memory budget, not on how the positions are cut into batches, not on what was taken before. So any number of
    workers can each take its own slices, and a run resumes at any position. One thread calls the methods.

    A paired source comes with its image. Unpaired ones are shuffled apart from the images: in each epoch every source
    comes once, beside another image.

    Args:
        reader: of the split.
        spec: of the dataset.
        seed: of the order.
        memory_budget_bytes: the split is held in memory if it fits in here, and is read through a window otherwise.
            Batches that were handed out, or prepared by `prefetch`, come on top.
        pin_memory: page-lock batches, so that a copy to a GPU is asynchronous; without a GPU it does nothing.
    """

    def __init__(
        self, reader: SplitReader, spec: DataSpec, *, seed: int, memory_budget_bytes: int, pin_memory: bool
    ) -> None:
        order = ShuffledOrder(reader.group_rows, seed)
        self.spec = spec
        self.num_images = reader.num_rows
        self.in_memory = reader.whole_bytes <= memory_budget_bytes
        self._source: RowSource = (
            MemorySource(reader, order, spec)
            if self.in_memory
            else WindowSource(reader, order, spec, memory_budget_bytes)
        )
        self._pin_memory = pin_memory and torch.cuda.is_available()
        self._thread = ThreadPoolExecutor(1, "gen-dist-prefetch")
        self._prepared: OrderedDict[tuple[int, int], Future[ImageBatch]] = OrderedDict()
        self._closed = False

    def take(self, start: int, count: int) -> ImageBatch:
        """The images at positions [start, start + count).

        Raises:
            ValueError: the slice is not valid, or the stream is closed.
            DataError: a shard is damaged; also when `prefetch` met it first.
        """
        self._check(start, count)
        future = self._prepared.pop((start, count), None)
        return self._gather(start, count) if future is None else future.result()

    def prefetch(self, start: int, count: int) -> None:
        """Prepare a slice in the background: the `take` of exactly this slice then only waits for it.

        It is a hint: of the slices that were never taken, the oldest are dropped.
        """
        self._check(start, count)
        if (start, count) not in self._prepared:
            self._prepared[start, count] = self._thread.submit(self._gather, start, count)
        while len(self._prepared) > MAX_PREPARED:
            self._prepared.popitem(last=False)[1].cancel()

    def close(self) -> None:
        """End the background work and free the memory. Closing twice is fine."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._prepared.clear()
        self._source.close()

    def _gather(self, start: int, count: int) -> ImageBatch:
        batch = empty_batch(count, self.spec, pin_memory=self._pin_memory)
        self._source.gather(start, Rows.of_batch(batch))
        return batch

    def _check(self, start: int, count: int) -> None:
        if self._closed:
            raise ValueError("the image stream is closed")
        if start < 0 or count < 1:
            raise ValueError(f"no images at [{start}, {start} + {count}): start is at least 0 and count at least 1")


def _is_unpaired(spec: DataSpec) -> bool:
    return spec.source is not None and not spec.source.paired
