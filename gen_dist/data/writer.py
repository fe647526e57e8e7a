"""Writing the splits of a dataset as Parquet shards into a local folder."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq

from gen_dist.data.schema import SPLITS, Shard, Split, SplitName, arrow_schema, image_bytes, source_bytes
from gen_dist.data.spill import Record, Spill
from gen_dist.types import DataSpec

MAX_GROUP_ROWS = 8192
MAX_GROUP_BYTES = 32 << 20
GROUPS_PER_SHARD = 8
BUCKET_BYTES = 128 << 20
MAX_BUCKETS = 64
SPILL = "spill"


@final
class ShardWriter:
    """Writes shards of a split from images in the order in which they are to stand.

    Args:
        folder: below which the shards lie, in a folder for each split.
        spec: of the dataset.
        has_text: whether images carry a text.
        max_group_rows: rows of a row group, unless images are so large that fewer fill `MAX_GROUP_BYTES`.
    """

    def __init__(self, folder: Path, spec: DataSpec, *, has_text: bool, max_group_rows: int = MAX_GROUP_ROWS) -> None:
        self._folder = folder
        self._spec = spec
        self._schema = arrow_schema(spec, has_text)
        self._group_rows = max(1, min(max_group_rows, MAX_GROUP_BYTES // (image_bytes(spec) + source_bytes(spec))))

    @property
    def max_rows(self) -> int:
        """How many images fill a shard."""
        return GROUPS_PER_SHARD * self._group_rows

    def write(self, name: SplitName, index: int, records: Iterator[Record]) -> tuple[Shard, list[int]] | None:
        """Fill a shard; with it comes the number of its images of every class. None when there are no images.

        Args:
            name: of the split.
            index: of the shard.
            records: as many are taken as fit.
        """
        first = next(records, None)
        if first is None:
            return None
        unfinished = self._folder / name / "unfinished"
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        content = hashlib.sha256()
        counts = [0] * self._spec.num_classes
        rows = 0
        with (
            unfinished.open("wb") as file,
            pq.ParquetWriter(
                file, self._schema, compression="zstd", use_dictionary=False, write_statistics=False
            ) as parquet,
        ):
            pending: list[Record] = [first]
            for _ in range(GROUPS_PER_SHARD):
                pending += islice(records, self._group_rows - len(pending))
                if not pending:
                    break
                parquet.write_table(self._table(pending), row_group_size=self._group_rows)
                rows += len(pending)
                for record in pending:
                    content.update(record.to_bytes())
                    if record.label is not None:
                        counts[record.label] += 1
                pending = []
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
            sha256 = hashlib.file_digest(written, "sha256").hexdigest()
        path = f"{name}/{index:05d}-{sha256[:12]}.parquet"
        unfinished.rename(self._folder / path)
        size_bytes = (self._folder / path).stat().st_size
        shard = Shard(
            path=path,
            rows=rows,
            rows_per_group=self._group_rows,
            size_bytes=size_bytes,
            sha256=sha256,
            content_sha256=content.hexdigest(),
        )
        return shard, counts

    def _table(self, records: list[Record]) -> Any:
        columns: dict[str, Any] = {
            "image": _pixels(image_bytes(self._spec), [record.image for record in records]),
            "label": pa.array([record.label for record in records], pa.int64()),
            "id": pa.array([record.id for record in records], pa.string()),
        }
        if "text" in self._schema.names:
            columns["text"] = pa.array([record.text for record in records], pa.string())
        if "source" in self._schema.names:
            columns["source"] = _pixels(source_bytes(self._spec), [record.source for record in records])
        return pa.Table.from_pydict(columns, schema=self._schema)


@final
class SplitsWriter:
    """Takes images in any order and writes each split's shards in a random order that their ids determine.

    Args:
        folder: where the shards and, until `finish`, the spilled images lie.
        spec: of the dataset.
        has_text: whether images carry a text.
        expected_rows: about how many images will come.
        max_group_rows: rows of a row group, unless images are so large that fewer fill `MAX_GROUP_BYTES`.
    """

    def __init__(
        self, folder: Path, spec: DataSpec, *, has_text: bool, expected_rows: int, max_group_rows: int = MAX_GROUP_ROWS
    ) -> None:
        self._folder = folder
        self._shards = ShardWriter(folder, spec, has_text=has_text, max_group_rows=max_group_rows)
        row_bytes = image_bytes(spec) + source_bytes(spec)
        buckets = max(1, min(MAX_BUCKETS, expected_rows * row_bytes // BUCKET_BYTES))
        self._spills = {name: Spill(folder / SPILL / name, buckets) for name in SPLITS}

    def add(self, split: SplitName, record: Record) -> None:
        """Put one image away."""
        self._spills[split].add(record)

    def finish(self) -> Iterator[tuple[SplitName, Shard, list[int]]]:
        """Write the shards one by one; with each comes the number of its images of every class."""
        for name, spill in self._spills.items():
            records = spill.drain()
            for index in range(1 << 62):
                written = self._shards.write(name, index, records)
                if written is None:
                    break
                yield name, *written
        shutil.rmtree(self._folder / SPILL)

    def close(self) -> None:
        """Close what is open."""
        for spill in self._spills.values():
            spill.close()


def _pixels(size: int, images: list[bytes]) -> Any:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(size), len(images), [None, pa.py_buffer(b"".join(images))])


def collect(shards: Iterator[tuple[SplitName, Shard, list[int]]], spec: DataSpec) -> dict[str, Split]:
    """The splits that these shards make up."""
    found: dict[SplitName, list[tuple[Shard, list[int]]]] = {name: [] for name in SPLITS}
    for name, shard, counts in shards:
        found[name].append((shard, counts))
    return {
        name: Split(
            rows=sum(shard.rows for shard, _ in members),
            class_counts=tuple(sum(counts[label] for _, counts in members) for label in range(spec.num_classes)),
            shards=tuple(shard for shard, _ in members),
        )
        for name, members in found.items()
    }
