"""The import: whole or not at all, and every bad input an error that names the file and the cause."""

from pathlib import Path

import pytest
from PIL import Image

from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.dataset import open_dataset
from gen_dist.data.errors import DataError, StorageError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.publish import publishing
from gen_dist.data.schema import SPLITS
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.data.split import SplitShares, split_of
from gen_dist.data.storage import open_storage

ALL_TRAIN = SplitShares(validation=0.0, test=0.0)


def corrupt_png(folder: Path) -> Path:
    (folder / "set").mkdir()
    Image.new("L", (8, 8)).save(folder / "set" / "a.png")
    (folder / "set" / "b.png").write_bytes((folder / "set" / "a.png").read_bytes()[:50])
    return folder / "set"


def test_a_source_that_does_not_exist_lists_the_built_in_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file dgits, and no built-in source of this name: digits, fashion-mnist"):
        open_source("dgits", SourceOptions())


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="--num-vertices means nothing for the source digits"):
        open_source("digits", SourceOptions(num_vertices=5))


def test_a_destination_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    destination = tmp_path / "dataset"
    first = import_source(DigitsSource(), destination, ImportOptions()).dataset
    with pytest.raises(DataError, match=r"dataset holds a dataset already.*--overwrite"):
        import_source(DigitsSource(), destination, ImportOptions(limit=100))
    assert open_dataset(destination).digest == first.digest
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="mine exists and is not a dataset"):
        import_source(DigitsSource(), tmp_path / "mine", ImportOptions(overwrite=True))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_overwriting_replaces_and_failing_to_restores(tmp_path: Path) -> None:
    destination = tmp_path / "out" / "dataset"
    first = import_source(DigitsSource(), destination, ImportOptions()).dataset
    second = import_source(DigitsSource(), destination, ImportOptions(limit=300, overwrite=True)).dataset
    assert second.digest != first.digest
    source = corrupt_png(tmp_path)
    with pytest.raises(DataError, match=r"b\.png"):
        import_source(open_source(str(source), SourceOptions()), destination, ImportOptions(overwrite=True))
    assert open_dataset(destination).digest == second.digest
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dataset"]


def test_a_rename_that_fails_gives_the_old_dataset_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = tmp_path / "out" / "dataset"
    first = import_source(DigitsSource(), destination, ImportOptions()).dataset
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if ".importing-" in path.name and target == destination:
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no"):
        import_source(DigitsSource(), destination, ImportOptions(limit=10, overwrite=True))
    assert open_dataset(destination).digest == first.digest
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dataset"]


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), publishing(open_storage(tmp_path / "dataset"), overwrite=False):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_destination_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((DataError, StorageError, OSError), match="file"):
        import_source(DigitsSource(), tmp_path / "file" / "dataset", ImportOptions())


def test_a_limit_takes_that_many_always_the_same(tmp_path: Path) -> None:
    datasets = [
        import_source(DigitsSource(), tmp_path / name, ImportOptions(limit=200, shares=ALL_TRAIN)).dataset
        for name in ("one", "two")
    ]
    assert datasets[0].num_images("train") == 200
    assert datasets[0].digest == datasets[1].digest
    assert min(datasets[0].manifest.splits["train"].class_counts) > 5, "the choice is from all of the source"


def test_an_image_stays_in_its_split_whatever_else_is_imported() -> None:
    shares = SplitShares(validation=0.1, test=0.2)
    # Written down once: if these counts ever change, test images would move into the training split of datasets.
    splits = {str(index): split_of(str(index), None, frozenset(), shares) for index in range(2000)}
    assert {split: list(splits.values()).count(split) for split in SPLITS} == {
        "train": 1413,
        "validation": 163,
        "test": 424,
    }
    # Where a test split was published, only validation is carved out of the rest, and what was published stays.
    published = frozenset({"train", "test"})
    for index in range(2000):
        assert split_of(str(index), "test", published, shares) == "test"
        carved = split_of(str(index), "train", published, shares)
        assert carved in ("train", "validation")


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.0), (1.0, 0.0), (0.5, 0.5), (0.0, float("nan"))])
def test_shares_that_leave_nothing_to_train_on_are_refused(validation: float, test: float) -> None:
    with pytest.raises(ValueError, match=r"the share of|leave nothing to train on"):
        SplitShares(validation=validation, test=test)


def test_duplicate_ids_are_refused(tmp_path: Path) -> None:
    class Twice:
        name = "twice"
        class_names = DigitsSource.class_names
        published_splits = DigitsSource.published_splits
        has_text = False
        num_examples = 2

        def examples(self):
            first = next(DigitsSource().examples())
            yield first
            yield first

    with pytest.raises(DataError, match="two images have the id '0000'"):
        import_source(Twice(), tmp_path / "dataset", ImportOptions(shares=ALL_TRAIN))
    assert not (tmp_path / "dataset").exists()
