"""What lies beside images: folders of sources, unpaired sets, tables of captions, and fonts with names."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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


CAPTIONS = {"b/a.png": "a black square", "b/c.png": 'a "grey" square, \N{SNOWMAN}'}


def make_captioned(folder: Path) -> Path:
    for value, name in enumerate(CAPTIONS):
        shade(folder / "set", name, value)
    return folder / "set"


def write_csv(folder: Path) -> Path:
    (folder / "c.csv").write_text('file,caption\nb/a.png,a black square\nb/c.png,"a ""grey"" square, \u2603"\n')
    return folder / "c.csv"


def write_jsonl(folder: Path) -> Path:
    lines = [
        {"file_name": "./b/a.png", "text": "a black square"},
        {"file_name": "b/c.png", "text": CAPTIONS["b/c.png"]},
    ]
    (folder / "c.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    return folder / "c.jsonl"


def write_parquet(folder: Path) -> Path:
    columns = {"id": [1, 2], "file": ["b/a.png", "b/c.png"], "caption": list(CAPTIONS.values())}
    pq.write_table(pa.table(columns), folder / "c.parquet")
    return folder / "c.parquet"


@pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet])
def test_captions_from_a_table(write: Callable[[Path], Path], tmp_path: Path) -> None:
    images = make_captioned(tmp_path)
    (images / "b" / "a.txt").write_text("what the table says counts")
    dataset = run(images, Beside(captions=write(tmp_path))).dataset
    batch = dataset.read("train")
    assert batch.captions is not None
    found = dict(zip(batch.images[:, 0, 0, 0].tolist(), decode_captions(batch.captions), strict=True))
    assert found == dict(enumerate(CAPTIONS.values()))
    assert dataset.spec.caption_bytes == len(CAPTIONS["b/c.png"].encode())


def captions_file(name: str, content: str | bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return write


HEAD = "file,caption\nb/a.png,x\nb/c.png,y\n"
SKIPPABLE_CAPTIONS: dict[str, tuple[Callable[[Path], Path], str, int]] = {
    "missing": (captions_file("c.csv", "file,caption\nb/a.png,x\n"), r"b/c\.png: .*c\.csv has no caption for it", 1),
    "empty": (captions_file("c.csv", "file,caption\nb/a.png,x\nb/c.png, \n"), r"b/c\.png: .*has no caption", 1),
    "unknown image": (
        captions_file("c.csv", HEAD + "d.png,z\n"),
        r"c\.csv: d\.png: there is no such image in .*set",
        2,
    ),
}


@pytest.mark.parametrize("case", SKIPPABLE_CAPTIONS)
def test_images_and_captions_without_each_other_are_named(case: str, tmp_path: Path) -> None:
    images = make_captioned(tmp_path)
    write, message, num_left = SKIPPABLE_CAPTIONS[case]
    with pytest.raises(DataError, match=message):
        run(images, Beside(captions=write(tmp_path)))
    assert list(Path("out").iterdir()) == []
    imported = run(images, Beside(captions=write(tmp_path)), skip_bad=True)
    assert imported.dataset.num_images("train") == num_left
    assert len(imported.skipped) == 1


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (captions_file("c.csv", HEAD + "b/a.png,z\n"), r"c\.csv, line 4: b/a\.png has a caption already"),
        (
            captions_file("c.csv", "name,words\nb/a.png,x\n"),
            r"c\.csv, line 2: there is no 'file' \(its columns are name",
        ),
        (captions_file("c.csv", "file,caption\nb/a.png\n"), r"c\.csv, line 2: 'caption' is None, not a text"),
        (captions_file("c.csv", b"file,caption\nb/a.png,\xff\n"), r"c\.csv is not a csv file of UTF-8 text"),
        (captions_file("c.jsonl", '{"file": "b/a.png",'), r"c\.jsonl is not a jsonl file"),
        (captions_file("c.jsonl", "[1]\n"), r"c\.jsonl, line 1: there is no 'file' \(it is \[1\]\)"),
        (captions_file("c.jsonl", '{"file": "b/a.png", "caption": 3}'), r"line 1: 'caption' is 3, not a text"),
        (captions_file("c.parquet", "not Parquet"), r"c\.parquet is not a parquet file"),
        (captions_file("c.xlsx", ""), r"c\.xlsx: captions are read from \.csv, \.jsonl and \.parquet"),
        (lambda folder: folder / "no.csv", r"no\.csv does not exist"),
    ],
)
def test_a_table_that_is_wrong_as_a_whole_is_named(write: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    images = make_captioned(tmp_path)
    for skip_bad in (False, True):
        with pytest.raises(DataError, match=message):
            run(images, Beside(captions=write(tmp_path)), skip_bad=skip_bad)
    assert list(Path("out").iterdir()) == []


def test_unpaired_sets_keep_the_captions_of_their_images(tmp_path: Path) -> None:
    images = make_captioned(tmp_path)
    shade(tmp_path / "sources", "s.png", 200)
    beside = Beside(captions=write_csv(tmp_path), unpaired_sources=str(tmp_path / "sources"))
    dataset = run(images, beside).dataset
    assert dataset.spec.source == SourceSpec(channels=1, height=6, width=6, paired=False)
    captions = dataset.read("train").captions
    assert captions is not None
    assert sorted(decode_captions(captions)) == sorted(CAPTIONS.values())
