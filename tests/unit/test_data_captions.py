"""Captions out of tables, and fonts whose symbols have names."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gen_dist.data.captions import decode_captions
from gen_dist.data.catalog import Beside, SourceOptions, open_beside, open_source
from gen_dist.data.errors import DataError
from gen_dist.data.importing import Imported, ImportOptions, import_source
from gen_dist.data.schema import SPLITS
from gen_dist.data.sources.glyphs import GlyphsSource
from gen_dist.data.split import SplitShares
from gen_dist.types import SourceSpec

ALL_TRAIN = SplitShares(validation=0.0, test=0.0)
NUM_GLYPHS_SHOWN = 40


def shade(folder: Path, name: str, value: int, size: tuple[int, int] = (6, 6)) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def run(name: Path, beside: Beside, *, shares: SplitShares = ALL_TRAIN, skip_bad: bool = False) -> Imported:
    """Import into out/dataset."""
    Path("out").mkdir(exist_ok=True)
    options = ImportOptions(shares=shares, skip_bad=skip_bad)
    return import_source(open_beside(str(name), SourceOptions(), beside, shares), "out/dataset", options)


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


@pytest.fixture(scope="module")
def dejavu() -> GlyphsSource:
    return GlyphsSource(size=16)


def test_glyphs_are_symbols_with_their_names(dejavu: GlyphsSource) -> None:
    examples = list(dejavu.examples())
    assert len(examples) == dejavu.num_examples > 4000
    for example in examples[:: len(examples) // NUM_GLYPHS_SHOWN]:
        character = chr(int(example.id.rpartition("U+")[2], 16))
        assert example.text == unicodedata.name(character).lower()
        assert unicodedata.category(character).startswith("S")
        pixels = np.asarray(example.load())
        assert pixels.shape == (16, 16, 3)
        assert pixels.min() < 128, "there is something on the paper"
    assert len({example.id for example in examples}) == len(examples)
    texts = {example.text for example in examples}
    assert {"black chess king", "snowman", "euro sign", "infinity"} <= texts
    assert "pile of poo" not in texts, "DejaVu has no glyph of it, and a box in its place would teach nonsense"


def test_glyphs_lie_in_the_middle_of_their_square(dejavu: GlyphsSource) -> None:
    square = next(example for example in dejavu.examples() if example.id == "DejaVuSans/U+25A0")
    ink = 255.0 - np.asarray(square.load())[..., 0].astype(float)
    places = np.arange(16) - 7.5
    # A square without a slant: its centre of mass is the image's, up to half of a pixel of the drawing, 4 times finer.
    assert abs((ink.sum(0) * places).sum() / ink.sum()) < 0.2
    assert abs((ink.sum(1) * places).sum() / ink.sum()) < 0.2


def test_all_typefaces_of_a_symbol_fall_into_one_split(dejavu: GlyphsSource, tmp_path: Path) -> None:
    options = ImportOptions(limit=1500)
    dataset = import_source(dejavu, tmp_path / "glyphs", options).dataset
    captions = {}
    for split in SPLITS:
        encoded = dataset.read(split).captions
        assert encoded is not None
        captions[split] = decode_captions(encoded)
    assert len(set(captions["train"])) < len(captions["train"]), "a symbol has several typefaces"
    assert not set(captions["train"]) & set(captions["test"])
    assert not set(captions["train"]) & set(captions["validation"])
    assert not set(captions["validation"]) & set(captions["test"])


def test_a_font_of_ones_own(tmp_path: Path) -> None:
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf"
    source = open_source(f"glyphs:{font}", SourceOptions(size=24))
    assert source.num_examples > 500
    assert next(source.examples()).id.startswith("DejaVuSerif/U+")
    assert source.name == f"glyphs:{font}"


def test_a_bad_font_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.ttf").write_text("no font")
    with pytest.raises(DataError, match=r"bad\.ttf is not a font that can be read"):
        open_source(f"glyphs:{tmp_path / 'bad.ttf'}", SourceOptions())
    with pytest.raises(DataError, match=r"no\.ttf does not exist: name a font as glyphs:FONT\.ttf"):
        open_source("glyphs:no.ttf", SourceOptions())
    with pytest.raises(ValueError, match="size is 4: glyphs have 8 to 512 pixels"):
        open_source("glyphs", SourceOptions(size=4))
