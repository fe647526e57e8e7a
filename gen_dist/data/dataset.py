"""An imported dataset: opened by URI, verified, read in order or streamed in shuffled order."""

from pathlib import Path
from typing import final

import numpy as np

from gen_dist.data.errors import DataError
from gen_dist.data.order import random_generator
from gen_dist.data.rows import Rows
from gen_dist.data.schema import MANIFEST, SPLITS, Manifest, Split, manifest_from_bytes
from gen_dist.data.shards import SplitReader
from gen_dist.data.storage import Storage, StorageError, open_storage
from gen_dist.data.stream import ImageStream
from gen_dist.types import DataSpec, ImageBatch

__all__ = ["DataError", "Dataset", "ImageStream", "StorageError", "open_dataset"]

GIBIBYTE = 1 << 30


@final
class Dataset:
    """A complete dataset; made by `open_dataset`.

    Attributes:
        manifest: what it holds and where it came from.
    """

    def __init__(self, storage: Storage, manifest: Manifest) -> None:
        self._storage = storage
        self.manifest = manifest

    @property
    def uri(self) -> str:
        """Where it lies."""
        return self._storage.uri

    @property
    def spec(self) -> DataSpec:
        """Shape and classes."""
        return self.manifest.spec

    @property
    def digest(self) -> str:
        """SHA-256 over shape, classes, and the contents and order of every split: equal data, equal digest."""
        return self.manifest.digest

    def num_images(self, split: str) -> int:
        """Images in "train", "validation" or "test"."""
        return self._split(split).rows

    def stream(
        self, split: str, *, seed: int, memory_budget_bytes: int = 2 * GIBIBYTE, pin_memory: bool = False
    ) -> ImageStream:
        """The split in endless shuffled order; see `ImageStream`. Close it after use.

        Raises:
            DataError: the split has no images, or a shard is damaged.
            ValueError: the budget is too small for this dataset; the message says what it takes.
        """
        return ImageStream(
            self._reader(split),
            self.spec,
            seed=seed,
            memory_budget_bytes=memory_budget_bytes,
            pin_memory=pin_memory,
        )

    def read(self, split: str, *, limit: int | None = None, seed: int = 0) -> ImageBatch:
        """Images of a split in the order in which they are stored, each beside the source that is stored with it.

        Args:
            split: "train", "validation" or "test".
            limit: how many images, chosen at random by `seed`; all when None or when there are no more.
            seed: of the choice.
        """
        reader = self._reader(split)
        if limit is None or limit >= reader.num_rows:
            return reader.read_all().to_batch()
        if limit < 1:
            raise ValueError(f"limit is {limit}: it must be at least 1, or None for all images")
        chosen = np.sort(random_generator("read", seed).choice(reader.num_rows, limit, replace=False))
        rows = Rows.empty(limit, self.spec)
        read = Rows.empty(max(reader.group_rows), self.spec)
        first = done = 0
        for group, num_rows in enumerate(reader.group_rows):
            inside = chosen[(chosen >= first) & (chosen < first + num_rows)] - first
            if len(inside):
                reader.read_groups((group,), read)
                rows.put(done, read, inside, inside)
                done += len(inside)
            first += num_rows
        return rows.to_batch()

    def head(self, split: str, count: int) -> ImageBatch:
        """The first images of a split, or all if there are fewer.

        Since images are stored in random order, they are a random choice, for which only the beginning is read.
        """
        if count < 1:
            raise ValueError(f"count is {count}: it must be at least 1")
        reader = self._reader(split)
        groups = int(np.searchsorted(np.cumsum(reader.group_rows), min(count, reader.num_rows))) + 1
        rows = Rows.empty(sum(reader.group_rows[:groups]), self.spec)
        reader.read_groups(tuple(range(groups)), rows)
        return rows.first(count).to_batch()

    def __repr__(self) -> str:
        return f"Dataset({self.uri!r}, {self.digest[:12]})"

    def _split(self, name: str) -> Split:
        if name not in SPLITS:
            raise ValueError(f"there is no split {name!r}: the splits are {', '.join(SPLITS)}")
        return self.manifest.splits[name]

    def _reader(self, name: str) -> SplitReader:
        split = self._split(name)
        if not split.rows:
            raise DataError(f"{self.uri} has no images in the split {name!r}: import it with a share for this split")
        return SplitReader(self._storage, self.spec, split)


def open_dataset(uri: str | Path, *, patience_seconds: float = 0.0) -> Dataset:
    """The dataset that `gen-dist import` made there.

    Args:
        uri: of its folder.
        patience_seconds: how long the place may be away, now and whenever something is read, before that is an error.

    Raises:
        DataError: there is no complete dataset, or one of another schema version.
        StorageError: the place can't be read.
    """
    storage = open_storage(uri)
    if patience_seconds:
        storage = storage.patient(patience_seconds)
    try:
        data = storage.read_bytes(MANIFEST)
    except FileNotFoundError as error:
        raise DataError(
            f"there is no dataset at {storage.uri} (no {MANIFEST} there): make one with `gen-dist import`"
        ) from error
    manifest = manifest_from_bytes(data, storage.uri)
    present = {key for name in SPLITS for key in storage.list(name)}
    for split in manifest.splits.values():
        for shard in split.shards:
            if shard.path not in present:
                raise DataError(f"{storage.uri}/{shard.path} is missing: import the dataset again")
    return Dataset(storage, manifest)
