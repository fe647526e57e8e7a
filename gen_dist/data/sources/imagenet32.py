"""Downsampled ImageNet at 32 x 32 (or 64, 16, 8): 1,281,167 training and 50,000 validation images, 1,000 classes.

P. Chrabaszcz, I. Loshchilov, F. Hutter, "A Downsampled Variant of ImageNet as an Alternative to the CIFAR datasets",
2017, arXiv:1707.08819. Layout of the npz version: train_data_batch_1.npz .. 10 and val_data.npz, with "data" (n, 3 *
side * side: all red, all green, all blue) and "labels" counted from 1. The published validation images are what papers
test on: they become the test split.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np

from gen_dist.data.errors import DataError, naming
from gen_dist.data.schema import SplitName
from gen_dist.data.sources.npy import StoredArray, stored_arrays
from gen_dist.data.sources.source import Example, bad_example, loaded, published

NUM_CLASSES = 1000


@final
class ImageNet32Source:
    """The batches that a folder holds; a part of them is fine.

    Args:
        folder: with train_data_batch_*.npz, val_data.npz, or both.
    """

    name = "imagenet32"
    class_names = tuple(str(label) for label in range(NUM_CLASSES))
    has_text = False

    def __init__(self, folder: Path) -> None:
        files: list[tuple[Path, SplitName]] = [
            (file, "train") for file in sorted(folder.glob("train_data_batch_*.npz"), key=_number)
        ]
        if (folder / "val_data.npz").is_file():
            files.append((folder / "val_data.npz", "test"))
        if not files:
            raise DataError(f"{folder} holds neither train_data_batch_1.npz, ... nor val_data.npz (the npz version)")
        self._parts = [(file, split, *_open(file)) for file, split in files]
        self.published_splits = published(split for _, split in files)

    @property
    def num_examples(self) -> int:
        """As the headers say."""
        return sum(data.shape[0] for _, _, data, _ in self._parts)

    def examples(self) -> Iterator[Example]:
        """In the order of the batches."""
        for file, split, data, labels in self._parts:
            side = _side(data)
            num_read = 0
            try:
                for index, (row, label) in enumerate(zip(data.rows(), labels.whole(), strict=True)):
                    num_read = index + 1
                    yield Example(
                        id=f"{file.stem}/{index:06d}",
                        where=f"{file}[{index}]",
                        load=loaded(row.reshape(3, side, side).transpose(1, 2, 0)),
                        split=split,
                        label=int(label) - 1,
                    )
            except DataError as error:
                yield bad_example(str(file), f"{error} after {num_read} of {data.shape[0]} images")


def _open(file: Path) -> tuple[StoredArray, StoredArray]:
    arrays = stored_arrays(file)
    with naming(str(file)):
        for name in ("data", "labels"):
            if name not in arrays:
                raise DataError(f"it has no array {name!r}, only {', '.join(sorted(arrays)) or 'none'}")
        data, labels = arrays["data"], arrays["labels"]
        if data.dtype != np.uint8 or len(data.shape) != 2 or 3 * _side(data) ** 2 != data.shape[1]:
            raise DataError(
                f"'data' has shape {data.shape} of {data.dtype}: it should be (n, 3 * side * side) of uint8"
            )
        if labels.dtype.kind not in "iu" or labels.shape != data.shape[:1]:
            raise DataError(
                f"'labels' has shape {labels.shape} of {labels.dtype}: it should be a number for each image"
            )
    return data, labels


def _side(data: StoredArray) -> int:
    return math.isqrt(data.shape[1] // 3)


def _number(file: Path) -> tuple[int, str]:
    digits = file.stem.rpartition("_")[2]
    return (int(digits) if digits.isascii() and digits.isdigit() else 0, file.name)
