"""The import in pieces: each shard is the work of one task, on any machine, and stays when others fail.

Which image stands where follows from the ids alone, so all shards are planned before a pixel is read. Where bad images
are to be left out, tasks of a first pass find them. Until the manifest is written, the destination holds beside the
shards

    importing/plan.json            what is being imported
    importing/checked-00000.json   bad images of one part of the source
    importing/train-00000.json     a shard that is finished

and an import of the same images with the same options goes on from there.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, final

from gen_dist.data.dataset import open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import Imported, ImportOptions, chosen_places, manifest_of, unreadable, version
from gen_dist.data.pieces import Checked, Finished, Piece, ShardPiece, check, write_shard
from gen_dist.data.progress import track
from gen_dist.data.publish import check_free, delete_shards
from gen_dist.data.recording import Recorder
from gen_dist.data.schema import MANIFEST, SPLITS, SplitName, manifest_to_bytes
from gen_dist.data.sources.folder import FolderSource
from gen_dist.data.split import id_hash, split_of
from gen_dist.data.storage import Storage, open_storage
from gen_dist.data.writer import ShardWriter, collect
from gen_dist.serialization import from_json, to_json
from gen_dist.types import DataSpec

WORK = "importing"
PLAN = "plan.json"
IMAGES_PER_CHECK = 4096
T = TypeVar("T")

CarryOut = Callable[[Callable[[Any], str | None], Sequence[Any]], Iterator[str | None]]
"""Calls a function with each of many tasks, in any order and on any machine; answers come as they are ready."""


def here(function: Callable[[Any], str | None], pieces: Sequence[Any]) -> Iterator[str | None]:
    """Carries out one task after the other in this process."""
    return map(function, pieces)


def import_in_pieces(
    source: FolderSource,
    uri: str | Path,
    options: ImportOptions,
    *,
    carry_out: CarryOut = here,
    recorded_options: dict[str, str] | None = None,
) -> Imported:
    """Write a folder of images as a dataset: the same one, byte for byte, as `import_source` writes.

    Args:
        source: of the images; every machine must see them at the same place.
        uri: destination, likewise.
        options: see there.
        carry_out: calls the tasks.
        recorded_options: what the provenance says about the options, as text.

    Raises:
        DataError: an image is bad, or the destination is not free. Shards that are finished stay, for the next call.
        StorageError: the destination can't be written.
    """
    return _PiecewiseImport(source, open_storage(uri), options, carry_out).run(recorded_options or {})


@final
class _PiecewiseImport:
    def __init__(self, source: FolderSource, destination: Storage, options: ImportOptions, carry_out: CarryOut) -> None:
        self._source, self._destination, self._options, self._carry_out = source, destination, options, carry_out
        chosen = chosen_places(source.num_examples, options.limit)
        self._paths = list(source.paths if chosen is None else compress(source.paths, chosen))
        self._recorder = Recorder(options.transform, options.pairs, source.class_names)

    def run(self, recorded_options: dict[str, str]) -> Imported:
        self._look_at_the_first()
        spec = self._recorder.spec()
        self._begin(spec)
        bad = self._find_bad() if self._options.skip_bad else {}
        tasks = list(self._plan(spec, [path for path in self._paths if path.as_posix() not in bad]))
        self._carry_out_missing(write_shard, tasks, [task.piece.key for task in tasks], "Writing shards")
        finished = [self._answer(task.piece.key, Finished) for task in tasks]
        splits = collect(((t.split, f.shard, list(f.class_counts)) for t, f in zip(tasks, finished, strict=True)), spec)
        spec = replace(spec, caption_bytes=max((f.caption_bytes for f in finished), default=0))
        manifest = manifest_of(self._source, spec, splits, recorded_options, num_skipped=len(bad))
        self._destination.write_bytes(MANIFEST, manifest_to_bytes(manifest))
        named = {f.shard.path for f in finished}
        delete_shards(self._destination, {key for split in SPLITS for key in self._destination.list(split)} - named)
        self._destination.delete(WORK)
        return Imported(open_dataset(self._destination.uri), tuple(bad.values()))

    def _look_at_the_first(self) -> None:
        """The first image that can be read decides the shape of all."""
        for path in self._paths:
            example = self._source.layout.example(self._source.files, path, has_caption=path in self._source.captioned)
            try:
                self._recorder.record(example)
            except DataError as error:
                if not self._options.skip_bad:
                    raise unreadable(example, error) from error
            else:
                return
        raise DataError(f"{self._source.name} holds no image that can be read")

    def _begin(self, spec: DataSpec) -> None:
        """Take the destination, or go on with what an interrupted import of the same left there."""
        described = {
            "source": self._source.name,
            "paths": [path.as_posix() for path in self._paths],
            "options": {
                **self._options.changed(),
                "skip_bad": str(self._options.skip_bad),
                "max_group_rows": str(self._options.max_group_rows),
            },
            "spec": spec,
            "version": version(),
        }
        plan = hashlib.sha256(to_json(described).encode()).hexdigest().encode()
        uri, key, overwrite = self._destination.uri, f"{WORK}/{PLAN}", self._options.overwrite
        unfinished = self._destination.exists(key)
        if self._destination.exists(MANIFEST) or not unfinished:
            check_free(self._destination, overwrite=overwrite)
        if unfinished and self._destination.read_bytes(key) == plan:
            return
        if unfinished and not overwrite:
            raise DataError(
                f"{uri} holds an unfinished import of other images, or with other options: go on with that one, choose "
                "another place, or add --overwrite to drop it"
            )
        self._destination.delete(WORK)
        self._destination.write_bytes(key, plan)

    def _find_bad(self) -> dict[str, str]:
        """What is said of each bad image, by its path, in the order of the source."""
        parts = range(0, len(self._paths), IMAGES_PER_CHECK)
        pieces = [
            self._piece(f"{WORK}/checked-{number:05d}.json", self._paths[start : start + IMAGES_PER_CHECK])
            for number, start in enumerate(parts)
        ]
        self._carry_out_missing(check, pieces, [piece.key for piece in pieces], "Looking for bad images")
        bad: dict[str, str] = {}
        for piece in pieces:
            bad |= self._answer(piece.key, Checked).bad
        return bad

    def _plan(self, spec: DataSpec, paths: Sequence[PurePosixPath]) -> Iterator[ShardPiece]:
        """Every shard, in the order of the splits: images of a split are ordered by a hash of their ids."""
        size = ShardWriter(
            Path(), spec, has_text=self._source.has_text, max_group_rows=self._options.max_group_rows
        ).max_rows
        members: dict[SplitName, list[tuple[int, str, PurePosixPath]]] = {name: [] for name in SPLITS}
        for path in paths:
            image_id, published = path.as_posix(), self._source.layout.split(path)
            split = split_of(image_id, published, self._source.published_splits, self._options.shares)
            members[split].append((id_hash(b"order", image_id), image_id, path))
        for split, images in members.items():
            ordered = [path for _, _, path in sorted(images)]
            for index, start in enumerate(range(0, len(ordered), size)):
                piece = self._piece(f"{WORK}/{split}-{index:05d}.json", ordered[start : start + size])
                yield ShardPiece(piece=piece, spec=spec, split=split, index=index)

    def _piece(self, key: str, paths: Sequence[PurePosixPath]) -> Piece:
        return Piece(
            destination=self._destination.uri,
            key=key,
            layout=self._source.layout,
            paths=tuple(path.as_posix() for path in paths),
            captioned=tuple(path in self._source.captioned for path in paths),
            options=self._options,
            recorder=self._recorder,
        )

    def _carry_out_missing(
        self, function: Callable[[Any], str | None], tasks: Sequence[Any], keys: Sequence[str], doing: str
    ) -> None:
        there = set(self._destination.list(WORK))
        missing = [task for task, key in zip(tasks, keys, strict=True) if key not in there]
        if len(missing) < len(tasks):
            doing = f"{doing} ({len(tasks) - len(missing)} are there already)"
        for wrong in track(self._carry_out(function, missing), doing, len(missing)):
            if wrong is not None:
                raise DataError(wrong)

    def _answer(self, key: str, kind: type[T]) -> T:
        return from_json(self._destination.read_bytes(key).decode(), kind)
