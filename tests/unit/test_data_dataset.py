"""Datasets: what is stored, opened, verified and refused."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits

from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.schema import (
    MANIFEST,
    SPLITS,
    digest_of,
    manifest_from_bytes,
    manifest_to_bytes,
)
from gen_dist.data.sources.digits import DigitsSource


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("imported") / "digits"
    return import_source(DigitsSource(), folder, ImportOptions(max_group_rows=300)).dataset


@pytest.fixture
def dataset(imported: Dataset, tmp_path: Path) -> Dataset:
    """A copy that a test may damage."""
    return open_dataset(shutil.copytree(imported.uri, tmp_path / "digits"))


def edit_manifest(dataset: Dataset, edit: dict[str, object]) -> None:
    path = Path(dataset.uri) / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))


def rewrite_shard(dataset: Dataset, table: pa.Table) -> None:
    """Put another table in the place of the training shard, with a manifest that fits it."""
    split = dataset.manifest.splits["train"]
    shard = split.shards[0]
    path = Path(dataset.uri) / shard.path
    pq.write_table(table, path, row_group_size=shard.rows_per_group)
    changed = replace(shard, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    splits = dataset.manifest.splits | {"train": replace(split, shards=(changed,))}
    manifest = replace(dataset.manifest, splits=splits, digest=digest_of(dataset.spec, splits))
    (Path(dataset.uri) / MANIFEST).write_bytes(manifest_to_bytes(manifest))


def test_digits_are_scikit_learns(dataset: Dataset) -> None:
    digits = load_digits()
    expected = {(digits.images[i] * 255 / 16).round().astype(np.uint8).tobytes(): digits.target[i] for i in range(1797)}
    assert dataset.spec.shape == (1, 8, 8)
    assert dataset.spec.class_names == tuple("0123456789")
    found = {}
    for split in SPLITS:
        batch = dataset.read(split)
        assert batch.labels is not None
        found |= {image.numpy().tobytes(): int(label) for image, label in zip(batch.images, batch.labels, strict=True)}
    assert found == expected


def test_splits_are_shares_of_the_whole(dataset: Dataset) -> None:
    sizes = [dataset.num_images(split) for split in SPLITS]
    assert sum(sizes) == 1797
    # Shares of 0.7, 0.1, 0.2 by a hash: binomial, whose standard deviation is at most 20 images; 4 of them.
    for size, share in zip(sizes, (0.7, 0.1, 0.2), strict=True):
        assert abs(size - share * 1797) < 80


def test_class_counts_are_those_of_the_labels(dataset: Dataset) -> None:
    for split in SPLITS:
        labels = dataset.read(split).labels
        assert labels is not None
        assert dataset.manifest.splits[split].class_counts == tuple(torch.bincount(labels, minlength=10).tolist())


def test_importing_again_gives_the_same_digest_and_files(dataset: Dataset, tmp_path: Path) -> None:
    again = import_source(DigitsSource(), tmp_path / "again", ImportOptions(max_group_rows=300)).dataset
    assert again.digest == dataset.digest
    assert again.manifest.splits == dataset.manifest.splits


def test_other_data_has_another_digest(dataset: Dataset, tmp_path: Path) -> None:
    other = import_source(DigitsSource(), tmp_path / "fewer", ImportOptions(limit=1796)).dataset
    assert other.digest != dataset.digest


def test_the_digest_does_not_depend_on_time_and_place(dataset: Dataset) -> None:
    manifest = dataset.manifest
    later = replace(manifest, provenance=replace(manifest.provenance, created="2001-01-01", source="elsewhere"))
    assert manifest_from_bytes(manifest_to_bytes(later), "here").digest == manifest.digest


def test_rows_are_stored_in_random_order(dataset: Dataset) -> None:
    labels = dataset.read("train").labels
    assert labels is not None
    # scikit-learn's order runs 0, 1, 2, ... 9 for long stretches: a label follows its predecessor 0.3 of the time.
    assert ((labels[1:] - labels[:-1]) % 10 == 1).double().mean() < 0.15


def test_columns_are_as_documented(dataset: Dataset) -> None:
    shard = dataset.manifest.splits["train"].shards[0]
    file = pq.ParquetFile(Path(dataset.uri) / shard.path)
    assert file.schema_arrow.field("image").type == pa.binary(64)
    assert file.schema_arrow.field("label").type == pa.int64()
    assert file.schema_arrow.field("id").type == pa.string()
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [300, 300, 300, 300, 80]
    assert shard.group_rows == (300, 300, 300, 300, 80)
    file.close()


def test_a_limited_read_is_a_choice_in_stored_order(dataset: Dataset) -> None:
    everything = [image.numpy().tobytes() for image in dataset.read("train").images]
    chosen = [image.numpy().tobytes() for image in dataset.read("train", limit=400, seed=1).images]
    places = [everything.index(image) for image in chosen]
    assert len(set(places)) == 400
    assert places == sorted(places)
    assert max(places) > 1000, "the choice is from the whole split"
    again = dataset.read("train", limit=400, seed=1)
    assert [image.numpy().tobytes() for image in again.images] == chosen
    assert [image.numpy().tobytes() for image in dataset.read("train", limit=400, seed=2).images] != chosen


def test_a_limited_read_keeps_labels_with_images(dataset: Dataset) -> None:
    everything = dataset.read("train")
    assert everything.labels is not None
    label_of = {image.numpy().tobytes(): int(y) for image, y in zip(everything.images, everything.labels, strict=True)}
    few = dataset.read("train", limit=50)
    assert few.labels is not None
    assert [label_of[image.numpy().tobytes()] for image in few.images] == few.labels.tolist()


def test_the_head_is_the_beginning_of_what_is_stored(dataset: Dataset) -> None:
    everything = dataset.read("train")
    assert everything.labels is not None
    for count in (1, 300, 301, 5000):
        head = dataset.head("train", count)
        assert head.labels is not None
        assert torch.equal(head.images, everything.images[:count])
        assert torch.equal(head.labels, everything.labels[:count])


def test_a_limit_beyond_the_split_reads_all(dataset: Dataset) -> None:
    assert len(dataset.read("test", limit=10**6)) == dataset.num_images("test")
    with pytest.raises(ValueError, match="limit is 0"):
        dataset.read("test", limit=0)


def test_a_split_that_does_not_exist_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="no split 'val': the splits are train, validation, test"):
        dataset.num_images("val")


def test_no_dataset_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no dataset at .*nothing.*gen-dist import"):
        open_dataset(tmp_path / "nothing")


def test_a_missing_shard_is_named(dataset: Dataset) -> None:
    shard = dataset.manifest.splits["test"].shards[0].path
    (Path(dataset.uri) / shard).unlink()
    with pytest.raises(DataError, match=f"{shard} is missing"):
        open_dataset(dataset.uri)
    with pytest.raises(DataError, match=f"{shard} is missing"):
        dataset.read("test")


def test_a_damaged_shard_is_named_in_memory_and_streaming(dataset: Dataset) -> None:
    stream = dataset.stream("train", seed=0, memory_budget_bytes=215_000)
    assert not stream.in_memory
    shard = dataset.manifest.splits["train"].shards[0].path
    path = Path(dataset.uri) / shard
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"{shard} was changed or damaged"):
        stream.take(0, 1)
    stream.close()
    with pytest.raises(DataError, match=f"{shard} was changed or damaged"):
        dataset.stream("train", seed=0)


def test_another_schema_version_is_refused_by_number(dataset: Dataset) -> None:
    edit_manifest(dataset, {"schema_version": 99, "new_field": 1})
    with pytest.raises(DataError, match=r"manifest\.json has schema version 99, and this gen_dist reads 1"):
        open_dataset(dataset.uri)


def test_an_edited_manifest_is_refused(dataset: Dataset) -> None:
    edit_manifest(dataset, {"spec": {"channels": 1, "height": 8, "width": 8, "class_names": list("9876543210")}})
    with pytest.raises(DataError, match="changed after it was written"):
        open_dataset(dataset.uri)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\xff", '{"schema_version": 1}'])
def test_a_manifest_that_is_none_is_refused(dataset: Dataset, text: str) -> None:
    (Path(dataset.uri) / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"manifest\.json"):
        open_dataset(dataset.uri)


def test_a_manifest_cannot_lead_out_of_the_dataset(dataset: Dataset) -> None:
    split = dataset.manifest.splits["test"]
    splits = dataset.manifest.splits | {"test": replace(split, shards=(replace(split.shards[0], path="../../secret"),))}
    manifest = replace(dataset.manifest, splits=splits)
    (Path(dataset.uri) / MANIFEST).write_bytes(manifest_to_bytes(manifest))
    with pytest.raises(ValueError, match="secret"):
        open_dataset(dataset.uri)


def test_a_missing_column_is_named(dataset: Dataset) -> None:
    table = pq.read_table(Path(dataset.uri) / dataset.manifest.splits["train"].shards[0].path)
    rewrite_shard(dataset, table.drop_columns(["label"]))
    with pytest.raises(DataError, match=r"train/00000-\w+\.parquet has no column 'label'"):
        open_dataset(dataset.uri).read("train")


def test_a_column_of_another_type_is_named(dataset: Dataset) -> None:
    table = pq.read_table(Path(dataset.uri) / dataset.manifest.splits["train"].shards[0].path)
    wide = pa.array([bytes(65)] * len(table), pa.binary(65))
    rewrite_shard(dataset, table.set_column(0, "image", wide))
    with pytest.raises(DataError, match=r"column 'image' is fixed_size_binary\[65\], not fixed_size_binary\[64\]"):
        open_dataset(dataset.uri).read("train")


@pytest.mark.parametrize(("label", "cause"), [(10, r"a label is not in 0\.\.9"), (None, "1 labels are missing")])
def test_labels_that_are_no_classes_are_refused(dataset: Dataset, label: int | None, cause: str) -> None:
    table = pq.read_table(Path(dataset.uri) / dataset.manifest.splits["train"].shards[0].path)
    labels = pa.array([label, *table.column("label").to_pylist()[1:]], pa.int64())
    rewrite_shard(dataset, table.set_column(table.schema.get_field_index("label"), "label", labels))
    with pytest.raises(DataError, match=cause):
        open_dataset(dataset.uri).read("train")


def test_fewer_rows_than_the_manifest_says_are_refused(dataset: Dataset) -> None:
    table = pq.read_table(Path(dataset.uri) / dataset.manifest.splits["train"].shards[0].path)
    rewrite_shard(dataset, table.slice(0, 100))
    with pytest.raises(DataError, match="does not have the rows that the manifest names"):
        open_dataset(dataset.uri).read("train")


def test_an_empty_split_says_so(tmp_path: Path) -> None:
    options = ImportOptions(limit=3)
    dataset = import_source(DigitsSource(), tmp_path / "three", options).dataset
    empty = [split for split in SPLITS if dataset.num_images(split) == 0]
    assert empty
    with pytest.raises(DataError, match=f"no images in the split '{empty[0]}'"):
        dataset.stream(empty[0], seed=0)
