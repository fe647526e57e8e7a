"""Pairs made out of one set of images: known drawings, exact halves, and errors that name the image."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.dataset import Dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.pairs import edges, pair_rule
from gen_dist.data.schema import SPLITS
from gen_dist.data.split import SplitShares
from gen_dist.data.transform import Transform
from gen_dist.types import SourceSpec

ALL_TRAIN = SplitShares(validation=0.0, test=0.0)
PLAIN = Transform()


def imported(source: str, destination: Path, pairs: str, transform: Transform = PLAIN) -> Dataset:
    options = ImportOptions(pairs=pair_rule(pairs), transform=transform, shares=ALL_TRAIN)
    return import_source(open_source(source, SourceOptions()), destination, options).dataset


def drawn(image: np.ndarray, share: float = 0.2) -> list[str]:
    """The edges of a grey image as lines of text."""
    return ["".join("#" if value else "." for value in row) for row in edges(image[..., None], share)[..., 0]]


def square() -> np.ndarray:
    image = np.zeros((7, 7), dtype=np.uint8)
    image[2:5, 2:5] = 200
    return image


def test_the_edge_of_a_step_is_one_line() -> None:
    image = np.zeros((4, 6), dtype=np.uint8)
    image[:, 3:] = 90
    assert drawn(image) == ["..#..."] * 4
    assert drawn(image[:, ::-1]) == ["..#..."] * 4, "whichever side is brighter"
    assert drawn(np.ascontiguousarray(image.T)) == ["....", "....", "####", "....", "....", "...."]


def test_edges_go_round_a_shape() -> None:
    # Of two pixels beside an edge with equal gradients the left or upper one is drawn; at a corner they are not equal.
    assert drawn(square()) == [
        ".......",
        "...#...",
        "..#.#..",
        ".#..#..",
        "..###..",
        ".......",
        ".......",
    ]


def test_rows_and_columns_are_treated_alike() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 9, 1), dtype=np.uint8)
    assert np.array_equal(edges(image.transpose(1, 0, 2)), edges(image).transpose(1, 0, 2))


def test_an_even_image_has_no_edges() -> None:
    for value in (0, 130, 255):
        assert drawn(np.full((5, 5), value, dtype=np.uint8)) == ["....."] * 5


def test_faint_edges_count_by_their_share_of_the_strongest() -> None:
    image = np.zeros((3, 12), dtype=np.uint8)
    image[:, 4:8], image[:, 8:] = 20, 220
    assert drawn(image, 0.2) == [".......#...."] * 3
    assert drawn(image, 0.05) == ["...#...#...."] * 3


def test_edges_of_colours_are_those_of_their_brightness() -> None:
    random = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(random).convert("L"))[..., None]
    assert np.array_equal(edges(random), edges(grey))


def test_digits_with_their_edges(tmp_path: Path) -> None:
    options = ImportOptions(pairs=pair_rule("edges"))
    dataset = import_source(open_source("digits", SourceOptions()), tmp_path / "dataset", options).dataset
    assert dataset.spec.source == SourceSpec(channels=1, height=8, width=8)
    for split in SPLITS:
        batch = dataset.read(split, limit=50)
        assert batch.sources is not None
        for image, source in zip(batch.images, batch.sources, strict=True):
            assert np.array_equal(source.numpy()[0], edges(image.numpy().transpose(1, 2, 0))[..., 0])
    assert options.changed() == {"pairs": "edges"}


def test_grey_sources_of_colours(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    batch = imported(str(tmp_path / "x.npy"), tmp_path / "dataset", "grey").read("train")
    assert batch.sources is not None
    for image, source in zip(batch.images, batch.sources, strict=True):
        expected = Image.fromarray(image.numpy().transpose(1, 2, 0)).convert("L")
        assert np.array_equal(source.numpy()[0], np.asarray(expected))


@pytest.mark.parametrize("channels", [1, 3])
def test_low_resolution(channels: int, tmp_path: Path) -> None:
    # 28 x 28 as Fashion-MNIST. The first image is even, the second has a bright half.
    images = np.full((2, 28, 28, channels), 77, dtype=np.uint8)
    images[1, :, 14:] = 255
    np.save(tmp_path / "x.npy", images)
    dataset = imported(str(tmp_path / "x.npy"), tmp_path / "dataset", "low-resolution:4")
    assert dataset.spec.source == SourceSpec(channels=channels, height=7, width=7)
    batch = dataset.read("train")
    assert batch.sources is not None
    for image, source in zip(batch.images, batch.sources, strict=True):
        if bool((image == 77).all()):
            assert bool((source == 77).all())
        else:
            assert source[:, :, :2].float().mean() < 90
            assert source[:, :, 5:].float().mean() > 240


@pytest.mark.parametrize("pairs", ["left", "right"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_halves_of_one_file(pairs: str, mode: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    random = np.random.default_rng(0)
    halves = {}
    for index in range(4):
        pixels = random.integers(0, 256, (6, 8, 3) if mode == "RGB" else (6, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / f"{index}.png")
        halves[pixels[:, :4].tobytes()] = pixels[:, 4:].tobytes()
    dataset = imported(str(tmp_path / "set"), tmp_path / "dataset", pairs)
    assert dataset.spec.shape == (len(mode), 6, 4)
    batch = dataset.read("train")
    assert batch.sources is not None
    images, sources = (
        [part.numpy().transpose(1, 2, 0).tobytes() for part in parts] for parts in (batch.images, batch.sources)
    )
    found = zip(sources, images, strict=True) if pairs == "left" else zip(images, sources, strict=True)
    assert dict(found) == halves


def test_halves_of_arrays_are_those_of_files_and_each_is_transformed() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 24, 3), dtype=np.uint8)
    transform = Transform(resize=6, crop=6, mode="grey")
    of_array = pair_rule("left")(pixels, transform)
    of_file = pair_rule("left")(Image.fromarray(pixels), transform)
    for first, second, half in zip(of_array, of_file, (pixels[:, 12:], pixels[:, :12]), strict=True):
        assert first.shape == (6, 6, 1)
        assert np.array_equal(first, second)
        assert np.array_equal(first, transform(half))


def odd_width(folder: Path) -> None:
    Image.new("RGB", (7, 4)).save(folder / "b.png")


def wrong_height(folder: Path) -> None:
    Image.new("RGB", (8, 6)).save(folder / "a.png")
    Image.new("RGB", (8, 10)).save(folder / "b.png")


def grey_image(folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "b.png")


def broken(folder: Path) -> None:
    (folder / "b.png").write_text("no image")


@pytest.mark.parametrize(
    ("make", "pairs", "message"),
    [
        (odd_width, "left", r"b\.png: it has 7 x 4 pixels: a pair side by side has an even width"),
        (wrong_height, "right", r"b\.png: it has 4 x 10 pixels, and the first image \(.*a\.png\) has 4 x 6"),
        (wrong_height, "low-resolution:4", r"a\.png: its 8 x 6 pixels can't be divided by 4: .*--resize"),
        (grey_image, "grey", r"b\.png: it is grey already: --pairs grey needs images in colour"),
        (broken, "edges", r"b\.png: it is not a whole PNG or JPEG image"),
    ],
)
def test_what_gives_no_pair_is_named_and_leaves_nothing(
    make: Callable[[Path], None], pairs: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    make(tmp_path / "set")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=message):
        imported(str(tmp_path / "set"), tmp_path / "out" / "dataset", pairs)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("text", ["edges", "edges:0.1", "grey", "low-resolution:4", "left", "right"])
def test_a_rule_is_written_as_it_is_named(text: str) -> None:
    assert str(pair_rule(text)) == text


@pytest.mark.parametrize(
    "text", ["", "edge", "edges:2", "edges:x", "edges:", "low-resolution", "low-resolution:1", "left:2", "grey:"]
)
def test_a_rule_that_does_not_exist_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"--pairs is '.*: it is edges, grey, low-resolution:FACTOR, left or right"):
        pair_rule(text)
