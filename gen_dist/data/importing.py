"""The import: every example of a source is read, checked, brought to one shape and written, whole or not at all."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from gen_dist.data.captions import caption_bytes_of
from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.order import random_generator
from gen_dist.data.pairs import PairRule
from gen_dist.data.progress import track
from gen_dist.data.publish import publishing
from gen_dist.data.recording import Recorder
from gen_dist.data.schema import (
    MANIFEST,
    SCHEMA_VERSION,
    Manifest,
    Provenance,
    Split,
    SplitName,
    digest_of,
    manifest_to_bytes,
)
from gen_dist.data.sources.source import Example, GivesSources, Source, split_of_example
from gen_dist.data.spill import Record
from gen_dist.data.split import SplitShares
from gen_dist.data.storage import open_storage
from gen_dist.data.storage_local import replacing
from gen_dist.data.transform import Transform
from gen_dist.data.writer import MAX_GROUP_ROWS, SplitsWriter, collect
from gen_dist.types import DataSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """How a source becomes a dataset.

    Attributes:
        transform: applied to every image.
        pairs: makes each image's source out of the image; None for none, or where the source of images brings them.
        shares: of the splits that the source does not publish.
        limit: how many images to take, chosen at random (always the same ones); None for all.
        skip_bad: leave out what can't be read instead of stopping.
        overwrite: replace a dataset at the destination.
        max_group_rows: rows of a Parquet row group.
    """

    transform: Transform = field(default_factory=Transform)
    pairs: PairRule | None = None
    shares: SplitShares = field(default_factory=SplitShares)
    limit: int | None = None
    skip_bad: bool = False
    overwrite: bool = False
    max_group_rows: int = MAX_GROUP_ROWS

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}: it must be at least 1")

    def changed(self) -> dict[str, str]:
        """The options that decide what is stored and are not at their default, as text."""
        values: dict[str, tuple[object, object]] = {"limit": (self.limit, None), "pairs": (self.pairs, None)}
        for part, default in ((self.transform, Transform()), (self.shares, SplitShares())):
            for item in fields(part):
                values[item.name] = (getattr(part, item.name), getattr(default, item.name))
        return {name: str(value) for name, (value, default) in values.items() if value != default}


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import gives back: the dataset, and what was left out and why."""

    dataset: Dataset
    skipped: tuple[str, ...]


def import_source(
    source: Source, uri: str | Path, options: ImportOptions, *, recorded_options: dict[str, str] | None = None
) -> Imported:
    """Write a source's images as a dataset.

    Args:
        source: of the images.
        uri: destination: a folder or s3://bucket/prefix.
        options: see there.
        recorded_options: what the provenance says about the options, as text.

    Raises:
        DataError: an image is bad, or the destination is not free. Nothing is left at the destination.
        StorageError: the destination can't be written.
    """
    destination = open_storage(uri)
    with publishing(destination, overwrite=options.overwrite) as folder:
        importer = _Importer(source, options, folder)
        manifest = importer.run(recorded_options or {})
        with replacing(folder / MANIFEST) as file:
            file.write(manifest_to_bytes(manifest))
    return Imported(open_dataset(uri), tuple(importer.skipped))


@final
class _Importer:
    def __init__(self, source: Source, options: ImportOptions, folder: Path) -> None:
        self._source = source
        self._options = options
        self._folder = folder
        self._recorder = Recorder(options.transform, options.pairs, source.class_names)
        self._caption_bytes = 0
        self.skipped: list[str] = []

    def run(self, recorded_options: dict[str, str]) -> Manifest:
        total = min(self._source.num_examples, self._options.limit or self._source.num_examples)
        with closing(track(self._records(), f"Importing {self._source.name}", total)) as records:
            spec, splits = self._write(records, total)
        return manifest_of(self._source, spec, splits, recorded_options, num_skipped=len(self.skipped))

    def _write(self, records: Iterator[tuple[SplitName, Record]], total: int) -> tuple[DataSpec, dict[str, Split]]:
        first = next(records, None)
        if first is None:
            raise DataError(f"{self._source.name} holds no image that can be read")
        paired = not isinstance(self._source, GivesSources) or self._source.paired
        spec = self._recorder.spec(paired=paired)
        writer = SplitsWriter(
            self._folder,
            spec,
            has_text=self._source.has_text,
            expected_rows=total,
            max_group_rows=self._options.max_group_rows,
        )
        with closing(writer):
            writer.add(*first)
            for split_and_record in records:
                writer.add(*split_and_record)
            return replace(spec, caption_bytes=self._caption_bytes), collect(writer.finish(), spec)

    def _records(self) -> Iterator[tuple[SplitName, Record]]:
        for example in self._chosen():
            try:
                record = self._recorder.record(example)
            except DataError as error:
                if not self._options.skip_bad:
                    raise unreadable(example, error) from error
                self.skipped.append(f"{example.where}: {error}")
                continue
            split = split_of_example(example, self._source, self._options.shares)
            self._caption_bytes = max(self._caption_bytes, caption_bytes_of(example.text))
            yield split, record

    def _chosen(self) -> Iterator[Example]:
        chosen = chosen_places(self._source.num_examples, self._options.limit)
        if chosen is None:
            yield from self._source.examples()
            return
        yield from (example for example, take in zip(self._source.examples(), chosen, strict=False) if take)


def chosen_places(total: int, limit: int | None) -> NDArray[np.bool_] | None:
    """Which of a source's images are taken, the same ones at every import; None for all."""
    if limit is None or limit >= total:
        return None
    chosen = np.zeros(total, dtype=bool)
    chosen[random_generator("limit").choice(total, limit, replace=False)] = True
    return chosen


def unreadable(example: Example, error: DataError) -> DataError:
    """What an import says that stops at an image."""
    return DataError(f"{example.where}: {error} (--skip-bad leaves out what can't be read)")


def manifest_of(
    source: Source, spec: DataSpec, splits: dict[str, Split], options: dict[str, str], *, num_skipped: int
) -> Manifest:
    """The manifest of a dataset whose shards are written.

    Args:
        source: what was imported.
        spec: of the dataset.
        splits: with their shards.
        options: for the provenance, as text.
        num_skipped: bad images that were left out.

    Raises:
        DataError: nothing is left to train on.
    """
    if not splits["train"].rows:
        raise DataError(f"{source.name} leaves no image to train on: lower --validation and --test")
    provenance = Provenance(
        source=source.name,
        options=options,
        gen_dist_version=version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        num_skipped=num_skipped,
    )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        spec=spec,
        has_text=source.has_text,
        splits=splits,
        provenance=provenance,
        digest=digest_of(spec, splits),
    )


def version() -> str:
    """Of this gen_dist."""
    try:
        return metadata.version("gen-dist")
    except metadata.PackageNotFoundError:
        return "not installed"
