"""Images per second of the dataset reader, beside hand-written loops that do the least possible work.

Run:
    python benchmarks/reader.py

60,000 grey images of 28 x 28, batches of 64, one thread. Each reader is run in turn, several times over, so that a busy
machine slows all of them alike; figures are medians, ratios are medians of the ratios of one turn.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from gen_dist.data.dataset import Dataset
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.sources.arrays import ArraysSource
from gen_dist.data.split import SplitShares

NUM_IMAGES = 60_000
SIDE = 28
BATCH_SIZE = 64
TURNS = 7
# Enough to read ahead, too little for the whole set.
TWO_WINDOWS_BYTES = 78 << 20
TARGETS = {"from memory": 300_000, "streaming": 100_000}


def smooth_images() -> np.ndarray:
    """Images that compress about as well as real ones do: coarse noise, enlarged, with dark borders."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (NUM_IMAGES, 14, 14), dtype=np.uint8)
    images = coarse.repeat(2, axis=1).repeat(2, axis=2)
    images[images < 128] = 0
    return images


def make_dataset(folder: Path) -> Dataset:
    np.savez(folder / "images.npz", images=smooth_images(), labels=np.arange(NUM_IMAGES) % 10)
    options = ImportOptions(shares=SplitShares(validation=0.0, test=0.0))
    return import_source(ArraysSource(folder / "images.npz"), folder / "dataset", options).dataset


def through_stream(dataset: Dataset, memory_budget_bytes: int) -> int:
    stream = dataset.stream("train", seed=0, memory_budget_bytes=memory_budget_bytes)
    assert stream.in_memory == (memory_budget_bytes > TWO_WINDOWS_BYTES)
    start = time.perf_counter_ns()
    for position in range(0, NUM_IMAGES, BATCH_SIZE):
        stream.take(position, BATCH_SIZE)
    elapsed = time.perf_counter_ns() - start
    stream.close()
    return elapsed


def bare_memory(images: np.ndarray, labels: np.ndarray) -> int:
    start = time.perf_counter_ns()
    order = np.random.default_rng(0).permutation(NUM_IMAGES)
    for position in range(0, NUM_IMAGES, BATCH_SIZE):
        chosen = order[position : position + BATCH_SIZE]
        torch.from_numpy(images[chosen])
        torch.from_numpy(labels[chosen])
    return time.perf_counter_ns() - start


def bare_parquet(shard: Path) -> int:
    start = time.perf_counter_ns()
    for images in row_groups(shard):
        for position in range(0, len(images), BATCH_SIZE):
            torch.from_numpy(images[position : position + BATCH_SIZE].copy())
    return time.perf_counter_ns() - start


def row_groups(shard: Path) -> Iterator[np.ndarray]:
    file = pq.ParquetFile(shard)
    for group in range(file.num_row_groups):
        column = file.read_row_group(group, columns=["image"], use_threads=False).column("image").chunk(0)
        yield np.frombuffer(column.buffers()[1], dtype=np.uint8).reshape(len(column), 1, SIDE, SIDE)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder))
        shard = Path(dataset.uri) / dataset.manifest.splits["train"].shards[0].path
        batch = dataset.read("train")
        assert batch.labels is not None
        images, labels = batch.images.numpy(), batch.labels.numpy()
        readers: dict[str, Callable[[], int]] = {
            "from memory": lambda: through_stream(dataset, 2 << 30),
            "bare loop over an array": lambda: bare_memory(images, labels),
            "streaming": lambda: through_stream(dataset, TWO_WINDOWS_BYTES),
            "bare loop over Parquet": lambda: bare_parquet(shard),
        }
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(TURNS):
            for name, read in readers.items():
                seconds[name].append(read() / 1e9)
    for name, taken in seconds.items():
        rate = NUM_IMAGES / statistics.median(taken)
        target = TARGETS.get(name)
        verdict = "" if target is None else f"   target {target:,}: {'met' if rate >= target else 'MISSED'}"
        print(f"{name:<26}{rate:>12,.0f} images/s{verdict}")
    for ours, bare in (("from memory", "bare loop over an array"), ("streaming", "bare loop over Parquet")):
        ratio = statistics.median(bare / mine for mine, bare in zip(seconds[ours], seconds[bare], strict=True))
        print(f"speed of '{ours}' relative to '{bare}': {ratio:.2f}")


if __name__ == "__main__":
    main()
