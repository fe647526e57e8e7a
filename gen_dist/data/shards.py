"""Reading the rows of a split out of its verified Parquet shards."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gen_dist.data.captions import encode_captions
from gen_dist.data.errors import DataError
from gen_dist.data.rows import Rows
from gen_dist.data.schema import Shard, Split, arrow_schema, image_bytes, source_bytes
from gen_dist.data.storage import Storage
from gen_dist.types import DataSpec

# A label, and a place in the orders of two epochs.
LABEL_AND_PLACES_BYTES = 24
# The place of an unpaired source in the orders of two epochs.
SOURCE_PLACES_BYTES = 16
# What Python adds to the text of a caption while it is decoded.
CAPTION_OBJECTS_BYTES = 256


@final
class SplitReader:
    """Row groups of one split, numbered through all its shards. Safe to use from several threads.

    A shard's SHA-256 is verified once, before its first row is used: a shard that was changed, cut off or mixed up is
    refused by name.
    """

    def __init__(self, storage: Storage, spec: DataSpec, split: Split) -> None:
        self._storage = storage
        self._spec = spec
        self._shards = split.shards
        self._places = [(shard, group) for shard in split.shards for group in range(len(shard.group_rows))]
        self.group_rows = tuple(rows for shard in split.shards for rows in shard.group_rows)
        self.num_rows = split.rows
        self._metadata: dict[str, Any] = {}
        self._opening = threading.Lock()

    @property
    def row_bytes(self) -> int:
        """Memory that one row takes in a reader."""
        spec = self._spec
        places = SOURCE_PLACES_BYTES if spec.source is not None and not spec.source.paired else 0
        return image_bytes(spec) + source_bytes(spec) + spec.caption_bytes + LABEL_AND_PLACES_BYTES + places

    @property
    def whole_bytes(self) -> int:
        """Memory needed to read all rows at once: the rows, one encoded shard, and one row group being decoded."""
        return self.num_rows * self.row_bytes + max(shard.size_bytes for shard in self._shards) + self.decoding_bytes

    @property
    def decoding_bytes(self) -> int:
        """Memory that Arrow takes to decode one row group: measured, 3 times its rows, and a little that it keeps."""
        objects = CAPTION_OBJECTS_BYTES if self._spec.caption_bytes else 0
        return max(self.group_rows) * (4 * self.row_bytes + objects)

    def read_groups(self, groups: tuple[int, ...], rows: Rows) -> None:
        """Fill the beginning of `rows` with these groups side by side, decoding one group at a time."""
        start = 0
        for index in groups:
            shard, group = self._places[index]
            stop = start + self.group_rows[index]
            self._fill(rows, start, stop, shard, group, self._open(shard))
            start = stop
            pa.default_memory_pool().release_unused()

    def read_all(self) -> Rows:
        """All rows; each shard is fetched once, as a whole."""
        rows = Rows.empty(self.num_rows, self._spec)
        start = 0
        for shard in self._shards:
            data = self._whole(shard)
            for group, num_rows in enumerate(shard.group_rows):
                self._fill(rows, start, start + num_rows, shard, group, self._parquet(shard, pa.BufferReader(data)))
                start += num_rows
        pa.default_memory_pool().release_unused()
        return rows

    def _whole(self, shard: Shard) -> bytes:
        with self._present(shard):
            data = self._storage.read_bytes(shard.path)
        self._compare(shard, hashlib.sha256(data).hexdigest())
        return data

    @contextmanager
    def _present(self, shard: Shard) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise DataError(f"{self._where(shard)} is missing: import the dataset again") from error

    def _open(self, shard: Shard) -> Any:
        with self._opening:
            metadata = self._metadata.get(shard.path)
            if metadata is None:
                self._verify(shard)
                metadata = self._parquet(shard, self._input(shard)).metadata
                self._metadata[shard.path] = metadata
        return self._parquet(shard, self._input(shard), metadata)

    def _input(self, shard: Shard) -> Any:
        with self._present(shard):
            return self._storage.open_input(shard.path)

    def _verify(self, shard: Shard) -> None:
        with self._present(shard):
            self._compare(shard, self._storage.sha256(shard.path))

    def _compare(self, shard: Shard, digest: str) -> None:
        if digest != shard.sha256:
            raise DataError(
                f"{self._where(shard)} was changed or damaged: its SHA-256 is {digest[:12]}..., the manifest says "
                f"{shard.sha256[:12]}...; import the dataset again"
            )

    def _parquet(self, shard: Shard, source: Any, metadata: Any = None) -> Any:
        """The opened file; the columns it must have are checked on the first opening."""
        try:
            file = pq.ParquetFile(source, metadata=metadata, pre_buffer=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"{self._where(shard)} is not a Parquet file: {error}") from error
        if metadata is None:
            for column in arrow_schema(self._spec, has_text=self._spec.caption_bytes > 0):
                index = file.schema_arrow.get_field_index(column.name)
                if index < 0:
                    raise DataError(f"{self._where(shard)} has no column {column.name!r}")
                found = file.schema_arrow.field(index).type
                if found != column.type:
                    raise DataError(f"{self._where(shard)}: column {column.name!r} is {found}, not {column.type}")
            groups = tuple(file.metadata.row_group(index).num_rows for index in range(file.num_row_groups))
            if groups != shard.group_rows:
                raise DataError(f"{self._where(shard)} does not have the rows that the manifest names")
        return file

    def _fill(self, rows: Rows, start: int, stop: int, shard: Shard, group: int, file: Any) -> None:
        wanted = {"image": rows.images, "label": rows.labels, "source": rows.sources, "text": rows.captions}
        columns = [name for name, values in wanted.items() if values is not None]
        try:
            with file:
                table = file.read_row_group(group, columns=columns, use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self._where(shard)}, row group {group}: {error}") from error
        spec = self._spec
        _fill_pixels(rows.images[start:stop], table.column("image"))
        if rows.sources is not None:
            _fill_pixels(rows.sources[start:stop], table.column("source"))
        if rows.captions is not None:
            captions = encode_captions(table.column("text").to_pylist(), spec.caption_bytes)
            rows.captions[start:stop] = captions.numpy()
        if rows.labels is not None:
            labels = table.column("label")
            if labels.null_count:
                raise DataError(f"{self._where(shard)}, row group {group}: {labels.null_count} labels are missing")
            values = labels.to_numpy()
            if values.min() < 0 or values.max() >= spec.num_classes:
                raise DataError(f"{self._where(shard)}, row group {group}: a label is not in 0..{spec.num_classes - 1}")
            rows.labels[start:stop] = values

    def _where(self, shard: Shard) -> str:
        return f"{self._storage.uri}/{shard.path}"


def _fill_pixels(images: NDArray[np.uint8], column: Any) -> None:
    """Decode a column of height x width x channels bytes into (n, channels, height, width)."""
    _, channels, height, width = images.shape
    size = channels * height * width
    start = 0
    for chunk in column.chunks:
        flat = np.frombuffer(chunk.buffers()[1], dtype=np.uint8)[chunk.offset * size :][: len(chunk) * size]
        stored = flat.reshape(len(chunk), height, width, channels)
        images[start : start + len(chunk)] = stored.transpose(0, 3, 1, 2)
        start += len(chunk)
