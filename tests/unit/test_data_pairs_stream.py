"""Sources and captions through import, shards and stream: pairs stay together, unpaired sources go their own way."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gen_dist.data.captions import MAX_CAPTION_BYTES, decode_captions, encode_captions
from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.order import ShuffledOrder
from gen_dist.data.schema import MANIFEST, SplitName, digest_of, manifest_to_bytes
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.data.sources.source import Example, loaded
from gen_dist.data.split import SplitShares
from gen_dist.types import ImageBatch, SourceSpec

NUM_IMAGES = 400
GROUP_ROWS = 20
WHOLE, TWO_WINDOWS, ONE_WINDOW = 1 << 30, 70_000, 45_000
ALL_TRAIN = SplitShares(validation=0.0, test=0.0)


class Numbered:
    """Grey images of 6 x 6, RGB sources of 3 x 4 and captions, all of which say the number of their image."""

    name = "numbered"
    class_names = ("even", "odd")
    published_splits: frozenset[SplitName] = frozenset()
    num_examples = NUM_IMAGES
    has_text = True

    def __init__(self, *, paired: bool, caption: str = "number {} \N{SNOWMAN}") -> None:
        self.paired = paired
        self._caption = caption

    def examples(self) -> Iterator[Example]:
        """In the order of the numbers."""
        for number in range(NUM_IMAGES):
            yield Example(
                id=str(number),
                where=f"numbered[{number}]",
                load=loaded(pixels_of(number, 6, 6, 1)),
                label=number % 2,
                text=self._caption.format(number),
                load_source=loaded(pixels_of(number, 3, 4, 3)),
            )


def pixels_of(number: int, *shape: int) -> np.ndarray:
    """Pixels that follow from the number, and of which the first two say it."""
    pixels = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    pixels.reshape(-1)[:2] = divmod(number, 256)
    return pixels


def imported(folder: Path, *, paired: bool, shares: SplitShares = ALL_TRAIN, caption: str = "number {}") -> Dataset:
    options = ImportOptions(shares=shares, max_group_rows=GROUP_ROWS)
    return import_source(Numbered(paired=paired, caption=caption), folder, options).dataset


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return imported(tmp_path_factory.mktemp("pairs") / "dataset", paired=True, caption="number {} \N{SNOWMAN}")


@pytest.fixture(scope="module")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return imported(tmp_path_factory.mktemp("unpaired") / "dataset", paired=False)


def numbers_in(images: torch.Tensor) -> list[int]:
    """The numbers that images or sources carry; all of their other pixels are checked on the way."""
    numbers = []
    for image in images:
        stored = image.permute(1, 2, 0).numpy()
        high, low = stored.reshape(-1)[:2].tolist()
        numbers.append(256 * high + low)
        assert np.array_equal(stored, pixels_of(numbers[-1], *stored.shape))
    return numbers


def partners(batch: ImageBatch) -> dict[int, int]:
    """Which source stands beside which image."""
    assert batch.sources is not None
    return dict(zip(numbers_in(batch.images), numbers_in(batch.sources), strict=True))


def assert_equal(first: ImageBatch, second: ImageBatch) -> None:
    for name in ("images", "labels", "sources", "captions"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def assert_all_of_one_image(batch: ImageBatch) -> None:
    """Image, label, source and caption of every row belong together."""
    assert batch.sources is not None
    assert batch.captions is not None
    assert batch.labels is not None
    numbers = numbers_in(batch.images)
    assert numbers_in(batch.sources) == numbers
    assert decode_captions(batch.captions) == [f"number {number} \N{SNOWMAN}" for number in numbers]
    assert batch.labels.tolist() == [number % 2 for number in numbers]


def test_the_spec_says_what_stands_beside_the_images(pairs: Dataset, unpaired: Dataset) -> None:
    assert pairs.spec.source == SourceSpec(channels=3, height=3, width=4, paired=True)
    assert unpaired.spec.source == SourceSpec(channels=3, height=3, width=4, paired=False)
    assert pairs.spec.caption_bytes == len(b"number 100 ") + 3, "a snowman takes three bytes"
    assert open_dataset(pairs.uri).spec == pairs.spec


@pytest.mark.parametrize("budget", [WHOLE, TWO_WINDOWS, ONE_WINDOW], ids=["whole", "two windows", "one window"])
def test_what_belongs_together_stays_together(pairs: Dataset, budget: int) -> None:
    stream = pairs.stream("train", seed=3, memory_budget_bytes=budget)
    assert stream.in_memory == (budget == WHOLE)
    epoch = stream.take(0, NUM_IMAGES)
    assert epoch.sources is not None
    assert epoch.sources.shape == (NUM_IMAGES, 3, 3, 4)
    assert sorted(numbers_in(epoch.images)) == list(range(NUM_IMAGES))
    assert_all_of_one_image(epoch)
    assert_all_of_one_image(stream.take(3 * NUM_IMAGES - 50, 100))
    stream.close()


def test_reading_in_order_keeps_what_belongs_together(pairs: Dataset, unpaired: Dataset) -> None:
    for batch in (pairs.read("train"), pairs.read("train", limit=90), pairs.head("train", 45)):
        assert_all_of_one_image(batch)
    for batch in (unpaired.read("train"), unpaired.read("train", limit=90), unpaired.head("train", 45)):
        assert all(image == source for image, source in partners(batch).items()), "the stored order stays as it is"


@pytest.mark.parametrize("kind", ["pairs", "unpaired"])
def test_order_depends_on_neither_budget_nor_cut_nor_history(kind: str, request: pytest.FixtureRequest) -> None:
    dataset: Dataset = request.getfixturevalue(kind)
    budgets = (WHOLE, TWO_WINDOWS, ONE_WINDOW)
    whole, *windowed = [dataset.stream("train", seed=3, memory_budget_bytes=budget) for budget in budgets]
    for start, count in ((0, 130), (390, 30), (10**9 + 7, 85), (5, 1), (0, 900)):
        expected = whole.take(start, count)
        for stream in windowed:
            assert_equal(stream.take(start, count), expected)
    once = whole.take(350, 120)
    assert once.sources is not None
    parts = [windowed[0].take(start, 40).sources for start in (350, 390, 430)]
    assert torch.equal(once.sources, torch.cat([part for part in parts if part is not None]))
    for stream in (whole, *windowed):
        stream.close()


def test_unpaired_sources_come_once_an_epoch_beside_ever_other_images(unpaired: Dataset) -> None:
    stream = unpaired.stream("train", seed=3)
    epochs = [partners(stream.take(epoch * NUM_IMAGES, NUM_IMAGES)) for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch.values()) == list(range(NUM_IMAGES)), "every source once"
    for first, second in pairwise(epochs):
        # By chance an image meets its source again once in a window of 80, five times in an epoch of 400 images.
        assert sum(first[image] == second[image] for image in first) < 20
    assert sum(image == source for image, source in epochs[0].items()) < 20, "nor beside the one it is stored with"
    other = unpaired.stream("train", seed=4)
    assert partners(other.take(0, NUM_IMAGES)) != epochs[0]
    stream.close()
    other.close()


def test_labels_and_captions_stay_with_the_image_of_unpaired_sources(unpaired: Dataset) -> None:
    stream = unpaired.stream("train", seed=3, memory_budget_bytes=ONE_WINDOW)
    batch = stream.take(100, 300)
    numbers = numbers_in(batch.images)
    assert batch.captions is not None
    assert batch.labels is not None
    assert decode_captions(batch.captions) == [f"number {number}" for number in numbers]
    assert batch.labels.tolist() == [number % 2 for number in numbers]
    stream.close()


def test_sources_are_shuffled_within_the_window_of_their_images() -> None:
    order = ShuffledOrder((10, 10, 10, 3, 10, 10, 7, 10, 10, 1), seed=2)
    for epoch in (0, 5):
        images, sources = order.rows_of_epoch(epoch), order.sources_of_epoch(epoch)
        for window in order.windows(epoch):
            part = slice(window.start, window.start + window.num_rows)
            assert sorted(images[part]) == sorted(sources[part])
            assert not np.array_equal(images[part], sources[part])
    # Written down once: a checkpoint's cursor means nothing if this ever changes.
    assert ShuffledOrder((3, 3, 2), seed=5).sources_of_epoch(2).tolist() == [5, 3, 7, 1, 0, 2, 6, 4]


def test_a_budget_counts_sources_and_captions(pairs: Dataset) -> None:
    stored_row_bytes = 36 + 36 + pairs.spec.caption_bytes
    with pytest.raises(ValueError, match=r"takes at least (\d+)") as caught:
        pairs.stream("train", seed=0, memory_budget_bytes=1)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    assert least > 4 * GROUP_ROWS * stored_row_bytes
    pairs.stream("train", seed=0, memory_budget_bytes=least).close()


def test_columns_are_as_documented(pairs: Dataset) -> None:
    shard = pairs.manifest.splits["train"].shards[0]
    table = pq.read_table(Path(pairs.uri) / shard.path)
    assert table.column_names == ["image", "label", "id", "text", "source"]
    assert table.schema.field("source").type == pa.binary(3 * 3 * 4)
    row = table.slice(7, 1).to_pylist()[0]
    number = int(row["id"])
    assert row["source"] == pixels_of(number, 3, 4, 3).tobytes()
    assert row["text"] == f"number {number} \N{SNOWMAN}"


def test_another_source_or_another_pairing_is_another_dataset(pairs: Dataset, tmp_path: Path) -> None:
    again = imported(tmp_path / "again", paired=True, caption="number {} \N{SNOWMAN}")
    assert again.digest == pairs.digest
    assert imported(tmp_path / "unpaired", paired=False, caption="number {} \N{SNOWMAN}").digest != pairs.digest
    contents = [pairs.manifest.splits["train"].shards[0].content_sha256]

    class Shifted(Numbered):
        def examples(self) -> Iterator[Example]:
            for example in super().examples():
                moved = pixels_of((int(example.id) + 1) % NUM_IMAGES, 3, 4, 3)
                yield Example(example.id, example.where, example.load, None, example.label, example.text, loaded(moved))

    options = ImportOptions(shares=ALL_TRAIN, max_group_rows=GROUP_ROWS)
    shifted = import_source(
        Shifted(paired=True, caption="number {} \N{SNOWMAN}"), tmp_path / "shifted", options
    ).dataset
    assert [shifted.manifest.splits["train"].shards[0].content_sha256] != contents
    assert shifted.digest != pairs.digest


def test_datasets_from_before_there_were_sources_and_captions_keep_their_digest(tmp_path: Path) -> None:
    # Written down before either existed. Such a dataset may have a text column, and its manifest says nothing of both.
    digits = import_source(DigitsSource(), tmp_path / "digits", ImportOptions()).dataset
    assert digits.digest == "b09291b452b2cdeb640544cf4a67f1958cdc12338cf1cf1876a2d848b77e1618"
    dataset = imported(tmp_path / "dataset", paired=True)
    spec = replace(dataset.spec, source=None, caption_bytes=0)
    manifest = replace(dataset.manifest, spec=spec, digest=digest_of(spec, dataset.manifest.splits))
    tree = json.loads(manifest_to_bytes(manifest))
    del tree["spec"]["source"], tree["spec"]["caption_bytes"]
    (Path(dataset.uri) / MANIFEST).write_text(json.dumps(tree))
    before = open_dataset(dataset.uri)
    assert before.manifest.has_text
    batch = before.read("train")
    assert sorted(numbers_in(batch.images)) == list(range(NUM_IMAGES))
    assert batch.captions is None
    assert batch.sources is None


def test_captions_of_which_all_are_empty_are_none(tmp_path: Path) -> None:
    dataset = imported(tmp_path / "dataset", paired=True, caption="")
    assert dataset.spec.caption_bytes == 0
    assert dataset.manifest.has_text
    assert dataset.read("train").captions is None


@pytest.mark.parametrize(
    ("caption", "caption_bytes", "kept"),
    [
        ("a cat", 5, "a cat"),
        ("a cat", 9, "a cat"),
        ("a cat", 3, "a c"),
        ("é\N{SNOWMAN}\N{CAT FACE}", 9, "é\N{SNOWMAN}\N{CAT FACE}"),
        ("é\N{SNOWMAN}\N{CAT FACE}", 8, "é\N{SNOWMAN}"),
        ("é\N{SNOWMAN}\N{CAT FACE}", 4, "é"),
        ("é\N{SNOWMAN}\N{CAT FACE}", 1, ""),
        (None, 4, ""),
        ("", 4, ""),
    ],
)
def test_captions_are_cut_where_a_character_ends(caption: str | None, caption_bytes: int, kept: str) -> None:
    encoded = encode_captions([caption, "x"], caption_bytes)
    assert encoded.shape == (2, caption_bytes)
    assert decode_captions(encoded) == [kept, "x"]


def test_a_very_long_caption_is_stored_whole_and_cut_in_batches(tmp_path: Path) -> None:
    dataset = imported(tmp_path / "dataset", paired=True, caption="\N{SNOWMAN}" * 300)
    assert dataset.spec.caption_bytes == MAX_CAPTION_BYTES
    captions = dataset.head("train", 3).captions
    assert captions is not None
    assert decode_captions(captions) == ["\N{SNOWMAN}" * (MAX_CAPTION_BYTES // 3)] * 3
    table = pq.read_table(Path(dataset.uri) / dataset.manifest.splits["train"].shards[0].path)
    assert table.column("text")[0].as_py() == "\N{SNOWMAN}" * 300


def test_a_caption_with_the_character_that_ends_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"numbered\[0\]: its caption holds a character of code 0"):
        imported(tmp_path / "dataset", paired=True, caption="a\0b")
    assert list(tmp_path.iterdir()) == []
