"""What lies beside images: folders of sources, and unpaired sets."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_dist.data.captions import decode_captions
from gen_dist.data.catalog import Beside, SourceOptions, open_beside, open_source
from gen_dist.data.dataset import Dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import Imported, ImportOptions, import_source
from gen_dist.data.schema import SPLITS
from gen_dist.data.sources.unpaired import UnpairedSource
from gen_dist.data.split import SplitShares
from gen_dist.types import SourceSpec

ALL_TRAIN = SplitShares(validation=0.0, test=0.0)


def shade(folder: Path, name: str, value: int, size: tuple[int, int] = (6, 6)) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def run(name: Path, beside: Beside, *, shares: SplitShares = ALL_TRAIN, skip_bad: bool = False) -> Imported:
    """Import into out/dataset."""
    Path("out").mkdir(exist_ok=True)
    options = ImportOptions(shares=shares, skip_bad=skip_bad)
    return import_source(open_beside(str(name), SourceOptions(), beside, shares), "out/dataset", options)


def shades(dataset: Dataset, split: str = "train") -> list[tuple[int, int]]:
    """Of every row, the shade of its image and that of its source."""
    if not dataset.num_images(split):
        return []
    batch = dataset.read(split)
    assert batch.sources is not None
    return list(zip(batch.images[:, 0, 0, 0].tolist(), batch.sources[:, 0, 0, 0].tolist(), strict=True))


def make_folders(folder: Path) -> tuple[Path, Path]:
    for index, name in enumerate(("cat/a", "cat/b.c", "dog/a")):
        shade(folder / "images", f"{name}.png", index)
        shade(folder / "sources", f"{name}.jpg" if index else f"{name}.png", 100 + 20 * index, (4, 4))
    return folder / "images", folder / "sources"


def test_pairs_have_the_same_name_in_two_folders(tmp_path: Path) -> None:
    images, sources = make_folders(tmp_path)
    dataset = run(images, Beside(sources=sources)).dataset
    assert sorted(shades(dataset)) == [(0, 100), (1, 120), (2, 140)]
    assert dataset.spec.source == SourceSpec(channels=1, height=4, width=4, paired=True)
    assert dataset.spec.class_names == ("cat", "dog")


def test_pairs_keep_published_splits_and_captions(tmp_path: Path) -> None:
    for split, value in (("train", 0), ("test", 1)):
        shade(tmp_path / "images", f"{split}/x.png", value)
        shade(tmp_path / "sources", f"{split}/x.png", 100 + value)
    (tmp_path / "images" / "train" / "x.txt").write_text("a shade")
    dataset = run(tmp_path / "images", Beside(sources=tmp_path / "sources")).dataset
    assert (shades(dataset), shades(dataset, "test")) == ([(0, 100)], [(1, 101)])
    captions = dataset.read("train").captions
    assert captions is not None
    assert decode_captions(captions) == ["a shade"]


def image_alone(images: Path, sources: Path) -> None:
    shade(images, "cat/new.png", 9)


def source_alone(images: Path, sources: Path) -> None:
    shade(sources, "cat/new.png", 9, (4, 4))


def broken_source(images: Path, sources: Path) -> None:
    shade(images, "cat/new.png", 9)
    (sources / "cat" / "new.png").write_text("no image")


def source_of_another_size(images: Path, sources: Path) -> None:
    shade(images, "cat/new.png", 9)
    shade(sources, "cat/new.png", 9, (5, 4))


BAD_PAIRS: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "image alone": (image_alone, r"images/cat/new\.png: there is no image of this name in .*sources"),
    "source alone": (source_alone, r"sources/cat/new\.png: there is no image of this name in .*images"),
    "broken source": (broken_source, r"sources/cat/new\.png: it is not a whole PNG or JPEG image"),
    "another size": (
        source_of_another_size,
        r"sources/cat/new\.png: it has 5 x 4 pixels, and the first source \(.*sources/cat/a\.png\) has 4 x 4",
    ),
}


@pytest.mark.parametrize("case", BAD_PAIRS)
def test_a_missing_or_bad_counterpart_is_named_and_nothing_is_left(case: str, tmp_path: Path) -> None:
    images, sources = make_folders(tmp_path)
    make, message = BAD_PAIRS[case]
    make(images, sources)
    with pytest.raises(DataError, match=message):
        run(images, Beside(sources=sources))
    assert list(Path("out").iterdir()) == []
    imported = run(images, Beside(sources=sources), skip_bad=True)
    assert sorted(shades(imported.dataset)) == [(0, 100), (1, 120), (2, 140)]
    assert len(imported.skipped) == 1
    assert re.search(message, imported.skipped[0])


def test_folders_that_cannot_be_paired_are_refused(tmp_path: Path) -> None:
    images, sources = make_folders(tmp_path)
    shade(sources, "cat/a.jpeg", 1, (4, 4))
    with pytest.raises(DataError, match=r"cat/a\.jpeg and .*cat/a\.png have the same name"):
        run(images, Beside(sources=sources))
    with pytest.raises(DataError, match="nowhere is not a folder: pairs by name"):
        run(images, Beside(sources=tmp_path / "nowhere"))
    with pytest.raises(DataError, match="digits is not a folder"):
        run(Path("digits"), Beside(sources=sources))
    with pytest.raises(ValueError, match="--sources and --unpaired-sources exclude each other"):
        Beside(sources=sources, unpaired_sources="digits")
    assert list(Path("out").iterdir()) == []


def make_unpaired(folder: Path, num_images: int, num_sources: int) -> Beside:
    for index in range(num_images):
        shade(folder / "images", f"{index:03d}.png", index)
    for index in range(num_sources):
        shade(folder / "sources", f"s{index:03d}.png", index, (3, 4))
    return Beside(unpaired_sources=str(folder / "sources"))


@pytest.mark.parametrize(("num_images", "num_sources"), [(100, 40), (40, 100), (60, 60)])
def test_the_smaller_of_two_unpaired_sets_is_repeated(num_images: int, num_sources: int, tmp_path: Path) -> None:
    dataset = run(tmp_path / "images", make_unpaired(tmp_path, num_images, num_sources)).dataset
    assert dataset.spec.source == SourceSpec(channels=1, height=4, width=3, paired=False)
    rows = shades(dataset)
    assert len(rows) == max(num_images, num_sources)
    for column, num in ((0, num_images), (1, num_sources)):
        counts = np.bincount([row[column] for row in rows], minlength=num)
        assert len(counts) == num
        assert counts.max() - counts.min() <= 1, "all of them, as equally often as possible"


def test_each_unpaired_set_keeps_its_own_splits(tmp_path: Path) -> None:
    shares = SplitShares(validation=0.2, test=0.3)
    beside = make_unpaired(tmp_path, 100, 40)
    dataset = run(tmp_path / "images", beside, shares=shares).dataset
    alone = {}
    for name in ("images", "sources"):
        source = open_source(str(tmp_path / name), SourceOptions())
        alone[name] = import_source(source, tmp_path / f"alone-{name}", ImportOptions(shares=shares)).dataset
    for split in SPLITS:
        rows = shades(dataset, split)
        for column, name in enumerate(("images", "sources")):
            expected = set(alone[name].read(split).images[:, 0, 0, 0].tolist())
            assert {row[column] for row in rows} == expected, "no image is seen in two splits, on either side"


def test_what_is_repeated_is_said(tmp_path: Path) -> None:
    beside = make_unpaired(tmp_path, 5, 7)
    opened = open_beside(str(tmp_path / "images"), SourceOptions(), beside, ALL_TRAIN)
    assert isinstance(opened, UnpairedSource)
    assert opened.repeated == "train: 5 images for 7"
    assert [example.id for example in opened.examples()][4:] == ["004.png", "000.png#1", "001.png#1"]
    assert opened.num_examples == 7


def test_a_split_of_one_set_alone_is_refused(tmp_path: Path) -> None:
    beside = make_unpaired(tmp_path, 50, 1)
    with pytest.raises(DataError, match=r"split has \d+ images of .*images and 0 of .*sources: .*--validation"):
        run(tmp_path / "images", beside, shares=SplitShares(validation=0.2, test=0.4))
