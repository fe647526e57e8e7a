"""Images that lie on S3 are imported as those of a folder are."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.dataset import open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.piecewise import import_in_pieces
from gen_dist.data.sources.folder import FolderSource
from gen_dist.data.storage import open_storage


def test_a_prefix_is_a_folder_of_images(s3_bucket: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder, uri = tmp_path / "photos", f"s3://{s3_bucket}/photos"
    storage = open_storage(uri)
    for number in range(12):
        file = folder / ("cat" if number % 2 else "dog") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(file)
        file.with_suffix(".txt").write_text(f"number {number}")
    (folder / "cat" / ".hidden.png").write_bytes(b"")
    for file in folder.rglob("*.*"):
        storage.upload(file, file.relative_to(folder).as_posix())
    options = ImportOptions(max_group_rows=1)
    there = open_source(uri, SourceOptions())
    assert isinstance(there, FolderSource)
    local = import_source(FolderSource(folder), tmp_path / "local", options).dataset
    assert import_source(there, tmp_path / "dataset", options).dataset.digest == local.digest
    import_in_pieces(there, f"s3://{s3_bucket}/dataset", options)
    assert open_dataset(f"s3://{s3_bucket}/dataset").digest == local.digest
    kept = set(open_storage(f"s3://{s3_bucket}/dataset").list())
    manifest = json.loads((tmp_path / "dataset" / "manifest.json").read_text())
    shards = {shard["path"] for split in manifest["splits"].values() for shard in split["shards"]}
    assert kept == {"manifest.json", *shards}


def test_an_empty_object_is_no_image_and_named(s3_bucket: str, tmp_path: Path) -> None:
    storage = open_storage(f"s3://{s3_bucket}/photos")
    storage.write_bytes("a.png", b"")
    with pytest.raises(DataError, match=rf"s3://{s3_bucket}/photos/a\.png: it is not a whole PNG"):
        import_source(FolderSource(f"s3://{s3_bucket}/photos"), tmp_path / "dataset", ImportOptions())
    assert storage.read_start("a.png", 5) == b""
    storage.write_bytes("b", b"123456")
    assert storage.read_start("b", 5) == b"12345"
    with pytest.raises(FileNotFoundError):
        storage.read_start("c", 5)
