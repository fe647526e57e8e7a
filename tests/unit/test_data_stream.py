"""The image stream: one order whatever the budget and however it is cut, bounded memory, background work."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.order import ShuffledOrder
from gen_dist.data.rows import Rows
from gen_dist.data.shards import SplitReader
from gen_dist.data.sources.arrays import ArraysSource
from gen_dist.data.split import SplitShares
from gen_dist.data.stream import ImageStream
from gen_dist.types import ImageBatch

NUM_IMAGES = 1000
ONE_WINDOW = 90_000
TWO_WINDOWS = 130_000


def make_dataset(folder: Path, *, side: int = 8, channels: int = 3, labelled: bool = True) -> Dataset:
    """Random images in row groups of 50 rows, all in the training split."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (NUM_IMAGES, side, side, channels), dtype=np.uint8)
    labels = {"labels": np.arange(NUM_IMAGES) % 7} if labelled else {}
    np.savez(folder / "images.npz", images=images, **labels)
    options = ImportOptions(shares=SplitShares(validation=0.0, test=0.0), max_group_rows=50)
    return import_source(ArraysSource(folder / "images.npz"), folder / "dataset", options).dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("stream"))


@pytest.fixture(params=[ONE_WINDOW, TWO_WINDOWS], ids=["one window", "two windows"])
def windowed(request: pytest.FixtureRequest, dataset: Dataset) -> Iterator[ImageStream]:
    stream = dataset.stream("train", seed=3, memory_budget_bytes=request.param)
    assert not stream.in_memory
    yield stream
    stream.close()


@pytest.fixture
def whole(dataset: Dataset) -> Iterator[ImageStream]:
    stream = dataset.stream("train", seed=3)
    assert stream.in_memory
    yield stream
    stream.close()


def assert_equal(first: ImageBatch, second: ImageBatch) -> None:
    assert torch.equal(first.images, second.images)
    assert first.labels is not None
    assert second.labels is not None
    assert torch.equal(first.labels, second.labels)


def test_a_batch_is_what_learners_expect(whole: ImageStream) -> None:
    batch = whole.take(5, 64)
    assert batch.images.shape == (64, 3, 8, 8)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous()
    assert batch.labels is not None
    assert batch.labels.dtype == torch.int64


def test_images_stay_with_their_labels_and_channels(dataset: Dataset, whole: ImageStream, tmp_path: Path) -> None:
    arrays = np.load(Path(dataset.uri).parent / "images.npz", allow_pickle=False)
    expected = {image.transpose(2, 0, 1).tobytes(): label for image, label in zip(*arrays.values(), strict=True)}
    batch = whole.take(0, NUM_IMAGES)
    assert batch.labels is not None
    found = {image.numpy().tobytes(): int(label) for image, label in zip(batch.images, batch.labels, strict=True)}
    assert found == expected


def test_memory_and_window_give_the_same_order(whole: ImageStream, windowed: ImageStream) -> None:
    for start in range(0, 2500, 130):
        assert_equal(whole.take(start, 130), windowed.take(start, 130))


def test_any_position_can_be_asked_for_at_any_time(whole: ImageStream, windowed: ImageStream) -> None:
    for start, count in ((990, 40), (3, 1), (10**12 + 1, 250), (0, 2500), (990, 40)):
        assert_equal(whole.take(start, count), windowed.take(start, count))


def test_the_order_does_not_depend_on_how_it_is_cut(whole: ImageStream, windowed: ImageStream) -> None:
    for stream in (whole, windowed):
        once = stream.take(900, 300)
        parts = [stream.take(900 + start, 60) for start in range(0, 300, 60)]
        assert torch.equal(once.images, torch.cat([part.images for part in parts]))


def test_every_epoch_shows_every_image_once_in_a_new_order(whole: ImageStream) -> None:
    first, second = whole.take(0, NUM_IMAGES).images, whole.take(NUM_IMAGES, NUM_IMAGES).images
    assert not torch.equal(first, second)
    assert sorted(image.numpy().tobytes() for image in first) == sorted(image.numpy().tobytes() for image in second)


def test_another_seed_gives_another_order(dataset: Dataset, whole: ImageStream) -> None:
    stream = dataset.stream("train", seed=4)
    assert not torch.equal(stream.take(0, 100).images, whole.take(0, 100).images)
    stream.close()


def test_unlabelled_data_has_no_labels(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, channels=1, labelled=False)
    for budget in (ONE_WINDOW, 1 << 30):
        stream = dataset.stream("train", seed=0, memory_budget_bytes=budget)
        assert stream.take(0, 10).labels is None
        stream.close()


def test_prefetched_slices_are_the_same(whole: ImageStream, windowed: ImageStream) -> None:
    for stream in (whole, windowed):
        for start in range(0, 2100, 70):
            stream.prefetch(start + 70, 70)
            assert_equal(stream.take(start, 70), whole.take(start, 70))


def test_a_prefetched_slice_was_made_in_the_background(
    dataset: Dataset, whole: ImageStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = dataset.stream("train", seed=3)
    threads: list[int] = []
    gather = stream._gather

    def recording(start: int, count: int) -> ImageBatch:
        threads.append(threading.get_ident())
        return gather(start, count)

    monkeypatch.setattr(stream, "_gather", recording)
    stream.prefetch(10, 20)
    stream.prefetch(10, 20)
    stream.take(10, 20)
    stream.take(10, 20)
    assert len(threads) == 2, "two hints of one slice prepare it once, and what was taken is not kept"
    assert threads[0] != threading.get_ident() == threads[1]
    stream.close()


def test_hints_that_are_never_taken_up_do_not_pile_up(whole: ImageStream) -> None:
    for start in range(500):
        whole.prefetch(start, 1)
    assert len(whole._prepared) <= 64
    assert_equal(whole.take(0, 1), whole.take(0, 1))


def test_an_error_in_the_background_surfaces_in_take(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    stream = dataset.stream("train", seed=0, memory_budget_bytes=ONE_WINDOW)
    for shard in Path(dataset.uri).glob("train/*.parquet"):
        data = bytearray(shard.read_bytes())
        data[50] ^= 1
        shard.write_bytes(data)
    stream.prefetch(0, 10)
    with pytest.raises(DataError, match=r"train/0000\d-\w+\.parquet was changed or damaged"):
        stream.take(0, 10)
    stream.close()


def test_a_window_that_failed_to_be_read_ahead_is_named_when_it_is_needed(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = dataset.stream("train", seed=3, memory_budget_bytes=TWO_WINDOWS)
    fourth = ShuffledOrder((50,) * 20, seed=3).windows(0)[3]
    bad_groups = [fourth.groups]
    read_groups = SplitReader.read_groups

    def sometimes(reader: SplitReader, groups: tuple[int, ...], rows: Rows) -> None:
        if groups in bad_groups:
            raise DataError("the disk is gone")
        read_groups(reader, groups, rows)

    monkeypatch.setattr(SplitReader, "read_groups", sometimes)
    for position in (0, 200, 400):
        stream.take(position, 10)
    with pytest.raises(DataError, match="the disk is gone"):
        stream.take(fourth.start, 10)
    bad_groups.clear()
    assert len(stream.take(fourth.start, 10)) == 10, "a failure that has passed leaves the stream usable"
    stream.close()


def test_close_ends_the_threads_and_the_stream(dataset: Dataset) -> None:
    before = set(threading.enumerate())
    stream = dataset.stream("train", seed=0, memory_budget_bytes=TWO_WINDOWS)
    stream.prefetch(0, 10)
    stream.take(0, 10)
    assert set(threading.enumerate()) > before
    stream.close()
    stream.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ValueError, match="the image stream is closed"):
        stream.take(0, 10)
    with pytest.raises(ValueError, match="the image stream is closed"):
        stream.prefetch(0, 10)


@pytest.mark.parametrize(("start", "count"), [(-1, 5), (0, 0), (0, -3)])
def test_slices_that_mean_nothing_are_refused(whole: ImageStream, start: int, count: int) -> None:
    with pytest.raises(ValueError, match="start is at least 0 and count at least 1"):
        whole.take(start, count)


def test_a_budget_below_one_window_says_what_it_takes(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match=r"memory_budget_bytes is 1000: .* takes at least (\d+)") as caught:
        dataset.stream("train", seed=0, memory_budget_bytes=1000)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    dataset.stream("train", seed=0, memory_budget_bytes=least).close()


MEASURE_PEAK = """
import re, sys
from pathlib import Path
from gen_dist.data.dataset import open_dataset

def resident(kind):
    return 1024 * int(re.search(kind + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

# Everything that is loaded once is loaded before the measurement.
warm = open_dataset(sys.argv[1]).stream("train", seed=0, memory_budget_bytes=1 << 40)
warm.prefetch(0, 1)
warm.take(0, 1)
warm.close()
stream = open_dataset(sys.argv[2]).stream("train", seed=0, memory_budget_bytes=int(sys.argv[3]))
assert not stream.in_memory
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
for start in range(0, 2 * stream.num_images, 16):
    stream.prefetch(start + 16, 16)
    stream.take(start, 16)
for position in (500, 100, 900, 0, 1999):
    stream.take(position, 16)
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's count of resident memory")
def test_peak_memory_stays_within_the_budget(dataset: Dataset, tmp_path: Path) -> None:
    # 1000 images of 96 KiB: 94 MiB, a window is 19 MiB; two windows and the decoding of a group take 56 MiB.
    large = make_dataset(tmp_path, side=181)
    budget = 60 << 20
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE_PEAK, dataset.uri, large.uri, str(budget)],
        check=True,
        capture_output=True,
        text=True,
    )
    peak = int(answer.stdout)
    # Batches come on top: this one, the one before and the one being prepared, of 16 images each, are 5 MiB.
    assert peak <= budget + (5 << 20)
    assert peak > 40 << 20, "two windows must have been there at some time, or nothing was measured"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_are_pinned_for_a_gpu(dataset: Dataset, whole: ImageStream) -> None:
    for budget in (ONE_WINDOW, 1 << 30):
        stream = dataset.stream("train", seed=3, memory_budget_bytes=budget, pin_memory=True)
        stream.prefetch(0, 64)
        batch = stream.take(0, 64)
        assert batch.images.is_pinned()
        assert batch.labels is not None
        assert batch.labels.is_pinned()
        assert_equal(batch, whole.take(0, 64))
        stream.close()


def test_opening_by_uri_gives_the_same_order(dataset: Dataset, whole: ImageStream) -> None:
    stream = open_dataset(dataset.uri).stream("train", seed=3)
    assert_equal(stream.take(0, 100), whole.take(0, 100))
    stream.close()
