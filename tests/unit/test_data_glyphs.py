"""Symbols that fonts draw, with their Unicode names for captions."""

import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from gen_dist.data.captions import decode_captions
from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.schema import SPLITS
from gen_dist.data.sources.glyphs import GlyphsSource

NUM_GLYPHS_SHOWN = 40


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
