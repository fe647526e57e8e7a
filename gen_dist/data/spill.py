"""Shuffling more images than fit in memory: by a hash of the id, through files.

Records are dealt into buckets by the leading bits of the hash; then one bucket after the other is read back and sorted.
So the order is a function of the ids alone: not of the source's order, and not of the number of buckets.
"""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, final

from gen_dist.data.errors import DataError
from gen_dist.data.split import HASH_RANGE, id_hash

HEADER = struct.Struct("<IIqiI")
NONE = -1


@dataclass(frozen=True, slots=True)
class Record:
    """One image as it will be stored."""

    id: str
    label: int | None
    text: str | None
    image: bytes
    source: bytes = b""

    def to_bytes(self) -> bytes:
        """All of it, in one unambiguous string of bytes; without a source, as it was before there were sources."""
        name = self.id.encode()
        text = b"" if self.text is None else self.text.encode()
        label = NONE if self.label is None else self.label
        text_size = NONE if self.text is None else len(text)
        size = HEADER.size + len(name) + len(text) + len(self.image) + len(self.source)
        return HEADER.pack(size, len(name), label, text_size, len(self.image)) + name + text + self.image + self.source


@final
class Spill:
    """Files of one split in a folder of its own; used as a context, which closes them."""

    def __init__(self, folder: Path, num_buckets: int) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._num_buckets = num_buckets
        self._files: dict[int, BinaryIO] = {}
        self._open = ExitStack()

    def add(self, record: Record) -> None:
        """Put a record away."""
        bucket = id_hash(b"order", record.id) * self._num_buckets // HASH_RANGE
        file = self._files.get(bucket)
        if file is None:
            file = self._open.enter_context(self._path(bucket).open("wb"))
            self._files[bucket] = file
        file.write(record.to_bytes())

    def drain(self) -> Iterator[Record]:
        """All records in the order of their hash; each bucket's file is removed once it was read.

        Raises:
            DataError: two images have the same id.
        """
        self._open.close()
        for bucket in sorted(self._files):
            path = self._path(bucket)
            records = sorted(_records(path.read_bytes()), key=lambda record: (id_hash(b"order", record.id), record.id))
            path.unlink()
            for before, record in zip([None, *records], records, strict=False):
                if before is not None and before.id == record.id:
                    raise DataError(f"two images have the id {record.id!r}: ids must differ")
                yield record

    def close(self) -> None:
        """Close the files."""
        self._open.close()

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:04d}"


def _records(data: bytes) -> Iterator[Record]:
    start = 0
    while start < len(data):
        size, name_size, label, text_size, image_size = HEADER.unpack_from(data, start)
        name_at = start + HEADER.size
        text_at = name_at + name_size
        image_at = text_at + max(text_size, 0)
        source_at = image_at + image_size
        yield Record(
            data[name_at:text_at].decode(),
            None if label == NONE else label,
            None if text_size == NONE else data[text_at:image_at].decode(),
            data[image_at:source_at],
            data[source_at : start + size],
        )
        start += size
