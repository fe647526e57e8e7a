"""The import in pieces gives what the import in one gives, whatever happens in between."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gen_dist.data.dataset import open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.pairs import pair_rule
from gen_dist.data.piecewise import WORK, import_in_pieces
from gen_dist.data.schema import MANIFEST
from gen_dist.data.sources.folder import FolderSource
from gen_dist.data.transform import Transform

# Shards of 16 images, so that even a few images fill several.
OPTIONS = ImportOptions(transform=Transform(resize=6, crop=6), max_group_rows=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of two classes and several sizes, some with captions."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(60):
        file = root / ("cat" if number % 3 else "dog") / f"{number:02d}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8 + number % 2, 8, 3), dtype=np.uint8)).save(file)
        if number % 4 == 0:
            file.with_suffix(".txt").write_text(f"number {number}")
    return root


def files_of(dataset: Path) -> dict[str, bytes]:
    """All files; of the manifest without the time of day."""
    found = {path.relative_to(dataset).as_posix(): path.read_bytes() for path in dataset.rglob("*") if path.is_file()}
    manifest = json.loads(found[MANIFEST])
    del manifest["provenance"]["created"]
    return {**found, MANIFEST: json.dumps(manifest, sort_keys=True).encode()}


def interrupted_after(number: int) -> Callable[..., Iterator[str | None]]:
    def carry_out(function: Callable[[Any], str | None], pieces: Sequence[Any]) -> Iterator[str | None]:
        for done, piece in enumerate(pieces):
            if done == number:
                raise KeyboardInterrupt
            yield function(piece)

    return carry_out


@pytest.mark.parametrize(
    "options",
    [OPTIONS, replace(OPTIONS, limit=41), replace(OPTIONS, pairs=pair_rule("edges")), replace(OPTIONS, skip_bad=True)],
    ids=["plain", "limit", "pairs", "skip-bad"],
)
def test_both_imports_write_the_same_bytes(folder: Path, tmp_path: Path, options: ImportOptions) -> None:
    recorded = options.changed()
    one = import_source(FolderSource(folder), tmp_path / "one", options, recorded_options=recorded)
    pieces = import_in_pieces(FolderSource(folder), tmp_path / "pieces", options, recorded_options=recorded)
    assert files_of(tmp_path / "pieces") == files_of(tmp_path / "one")
    assert pieces.dataset.digest == one.dataset.digest
    assert sum(path.startswith("train/") for path in files_of(tmp_path / "one")) > 1


def test_an_interrupted_import_goes_on_and_keeps_what_is_finished(folder: Path, tmp_path: Path) -> None:
    destination = tmp_path / "pieces"
    with pytest.raises(KeyboardInterrupt):
        import_in_pieces(FolderSource(folder), destination, OPTIONS, carry_out=interrupted_after(2))
    finished = {path: path.stat().st_mtime_ns for path in destination.rglob("*.parquet")}
    assert len(finished) == 2
    with pytest.raises(DataError):
        open_dataset(destination)

    import_in_pieces(FolderSource(folder), destination, OPTIONS)
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items()), "a shard was written again"
    import_source(FolderSource(folder), tmp_path / "one", OPTIONS)
    assert files_of(destination) == files_of(tmp_path / "one")
    assert not (destination / WORK).exists()


def test_bad_images_stop_it_by_name_or_are_left_out_alike(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "photos"
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        copy = broken / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes()[: 60 if number in (0, 7, 30) else None])
    with pytest.raises(DataError, match=r"\.png: it is not a whole PNG.*--skip-bad"):
        import_in_pieces(FolderSource(broken), tmp_path / "stopped", OPTIONS)
    options = replace(OPTIONS, skip_bad=True)
    one = import_source(FolderSource(broken), tmp_path / "one", options)
    pieces = import_in_pieces(FolderSource(broken), tmp_path / "pieces", options)
    assert len(one.skipped) == 3
    assert pieces.skipped == one.skipped
    assert files_of(tmp_path / "pieces") == files_of(tmp_path / "one")


def test_other_images_or_options_do_not_go_on_with_an_unfinished_import(folder: Path, tmp_path: Path) -> None:
    destination = tmp_path / "pieces"
    with pytest.raises(KeyboardInterrupt):
        import_in_pieces(FolderSource(folder), destination, OPTIONS, carry_out=interrupted_after(1))
    other = replace(OPTIONS, limit=50)
    with pytest.raises(DataError, match=r"unfinished import of other images, or with other options.*--overwrite"):
        import_in_pieces(FolderSource(folder), destination, other)
    import_in_pieces(FolderSource(folder), destination, replace(other, overwrite=True))
    import_source(FolderSource(folder), tmp_path / "one", other)
    assert files_of(destination) == files_of(tmp_path / "one"), "shards of the dropped import are left"
    with pytest.raises(DataError, match="holds a dataset already"):
        import_in_pieces(FolderSource(folder), destination, other)
