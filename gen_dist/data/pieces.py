"""What the tasks of an import in pieces are given, do and leave behind (see `gen_dist/data/piecewise.py`)."""

import copy
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gen_dist.data.captions import caption_bytes_of
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, unreadable
from gen_dist.data.recording import Recorder
from gen_dist.data.schema import Shard, SplitName
from gen_dist.data.sources.files import Files, files_at
from gen_dist.data.sources.folder import FolderLayout
from gen_dist.data.sources.source import Example
from gen_dist.data.spill import Record
from gen_dist.data.storage import open_storage
from gen_dist.data.writer import ShardWriter
from gen_dist.serialization import to_json
from gen_dist.types import DataSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """What one task works on.

    Attributes:
        destination: URI of the dataset.
        key: of the answer, below the destination.
        layout: of the source.
        paths: images, in the order in which they are to stand.
        captioned: which of them have a text file.
        options: of the import.
        recorder: has seen the first image.
    """

    destination: str
    key: str
    layout: FolderLayout
    paths: tuple[str, ...]
    captioned: tuple[bool, ...]
    options: ImportOptions
    recorder: Recorder

    def examples(self) -> Iterator[Example]:
        """One for each path."""
        files: Files = files_at(self.layout.folder)
        for path, captioned in zip(self.paths, self.captioned, strict=True):
            yield self.layout.example(files, PurePosixPath(path), has_caption=captioned)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardPiece:
    """A shard to write.

    Attributes:
        piece: its images.
        spec: of the dataset.
        split: that it belongs to.
        index: of the shard in it.
    """

    piece: Piece
    spec: DataSpec
    split: SplitName
    index: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A shard that is written; what it tells of captions and classes."""

    shard: Shard
    class_counts: tuple[int, ...]
    caption_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """Paths of bad images of one part of the source, each with what is said of it."""

    bad: dict[str, str]


def check(piece: Piece) -> str | None:
    """The task that finds bad images."""
    bad, recorder = {}, copy.deepcopy(piece.recorder)
    for path, example in zip(piece.paths, piece.examples(), strict=True):
        try:
            recorder.record(example)
        except DataError as error:
            bad[path] = f"{example.where}: {error}"
    open_storage(piece.destination).write_bytes(piece.key, to_json(Checked(bad=bad)).encode())
    return None


def write_shard(task: ShardPiece) -> str | None:
    """The task that writes a shard; it answers with what is wrong with an image, or with nothing."""
    piece, destination = task.piece, open_storage(task.piece.destination)
    caption_bytes = 0

    def records() -> Iterator[Record]:
        nonlocal caption_bytes
        for example in piece.examples():
            try:
                record = piece.recorder.record(example)
            except DataError as error:
                raise unreadable(example, error) from error
            caption_bytes = max(caption_bytes, caption_bytes_of(example.text))
            yield record

    with tempfile.TemporaryDirectory(prefix="gen-dist-import-") as scratch:
        writer = ShardWriter(
            Path(scratch), task.spec, has_text=piece.layout.captioned, max_group_rows=piece.options.max_group_rows
        )
        try:
            written = writer.write(task.split, task.index, records())
        except DataError as error:
            return str(error)
        assert written is not None, "a shard is planned for images that there are"
        shard, counts = written
        destination.upload(Path(scratch, shard.path), shard.path)
    finished = Finished(shard=shard, class_counts=tuple(counts), caption_bytes=caption_bytes)
    destination.write_bytes(piece.key, to_json(finished).encode())
    return None
