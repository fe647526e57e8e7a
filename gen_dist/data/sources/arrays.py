"""Images in numpy's .npy and .npz files, under the names that are in use."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from gen_dist.data.errors import DataError, naming
from gen_dist.data.schema import SplitName
from gen_dist.data.sources.npy import StoredArray, stored_arrays
from gen_dist.data.sources.source import MAX_IMAGE_BYTES, Example, bad_example, loaded, published

# (images, labels, texts, split): plain, as Keras saves its sets, and as MedMNIST does.
LAYOUTS: tuple[tuple[str, str, str, SplitName | None], ...] = (
    ("images", "labels", "texts", None),
    ("x_train", "y_train", "texts_train", "train"),
    ("x_test", "y_test", "texts_test", "test"),
    ("train_images", "train_labels", "train_texts", "train"),
    ("val_images", "val_labels", "val_texts", "validation"),
    ("test_images", "test_labels", "test_texts", "test"),
)
CLASS_NAMES = "class_names"


@dataclass(frozen=True, slots=True)
class _Part:
    images: StoredArray
    labels: NDArray[np.int64] | None
    texts: list[str] | None
    split: SplitName | None


@final
class ArraysSource:
    """Images of shape (n, h, w), (n, h, w, channels) or (n, channels, h, w), 8-bit, with 1 or 3 channels.

    Args:
        file: .npy, or .npz with the arrays "images", and if there are any "labels", "texts", "class_names"; or with
            the names of Keras ("x_train", "y_train", ...) or of MedMNIST ("train_images", "train_labels", ...).
        labels: a .npy with the labels of a .npy.
    """

    def __init__(self, file: Path, labels: Path | None = None) -> None:
        self.name = str(file)
        arrays = stored_arrays(file)
        if labels is not None:
            if file.suffix != ".npy":
                raise DataError(f"{file} brings its own labels: --labels goes with a .npy file")
            arrays["labels"] = stored_arrays(labels)["images"]
        self._parts = [
            _part(arrays, images_name, labels_name, texts_name, split)
            for images_name, labels_name, texts_name, split in LAYOUTS
            if images_name in arrays
        ]
        if not self._parts:
            raise DataError(
                f"{file} has no array of images: it has {', '.join(sorted(arrays)) or 'no arrays'}; name the images "
                "'images' (and 'labels')"
            )
        self.published_splits = published(part.split for part in self._parts)
        self.has_text = any(part.texts is not None for part in self._parts)
        labelled = [part.labels is not None for part in self._parts]
        if any(labelled) and not all(labelled):
            raise DataError(f"{self._parts[labelled.index(False)].images.where} has no labels, and another split has")
        self.class_names = _class_names(arrays, [part.labels for part in self._parts if part.labels is not None])

    @property
    def num_examples(self) -> int:
        """As the headers say."""
        return sum(part.images.shape[0] for part in self._parts)

    def examples(self) -> Iterator[Example]:
        """In the order of the arrays."""
        for part in self._parts:
            prefix = part.split or "image"
            num_read = 0
            try:
                for index, row in enumerate(part.images.rows()):
                    num_read = index + 1
                    yield Example(
                        id=f"{prefix}/{index:08d}",
                        where=f"{part.images.where}[{index}]",
                        load=loaded(_channels_last(row)),
                        split=part.split,
                        label=None if part.labels is None else int(part.labels[index]),
                        text=None if part.texts is None else part.texts[index],
                    )
            except DataError as error:
                yield bad_example(part.images.where, f"{error} after {num_read} of {part.images.shape[0]} images")


def _part(
    arrays: dict[str, StoredArray], images_name: str, labels_name: str, texts_name: str, split: SplitName | None
) -> _Part:
    images = arrays[images_name]
    with naming(images.where):
        if images.dtype != np.uint8:
            raise DataError(f"its values are {images.dtype}, not uint8: save images as integers from 0 to 255")
        is_grey = len(images.shape) == 3
        has_channels = len(images.shape) == 4 and (images.shape[3] in (1, 3) or images.shape[1] in (1, 3))
        if not is_grey and not has_channels:
            raise DataError(
                f"its shape is {images.shape}: images are (n, height, width), (n, height, width, 1 or 3) or "
                "(n, 1 or 3, height, width)"
            )
        if not 1 <= int(np.prod(images.shape[1:])) <= MAX_IMAGE_BYTES:
            raise DataError(f"its shape is {images.shape}: not a size of images")
    return _Part(images, _labels(arrays.get(labels_name), images), _texts(arrays.get(texts_name), images), split)


def _labels(stored: StoredArray | None, images: StoredArray) -> NDArray[np.int64] | None:
    if stored is None:
        return None
    with naming(stored.where):
        if stored.dtype.kind not in "iu" or stored.shape not in ((images.shape[0],), (images.shape[0], 1)):
            raise DataError(
                f"its shape is {stored.shape} of {stored.dtype}: labels are one whole number for each of the "
                f"{images.shape[0]} images"
            )
        labels = stored.whole().reshape(-1).astype(np.int64)
        if labels.min(initial=0) < 0:
            raise DataError("a label is negative: labels count from 0")
    return labels


def _texts(stored: StoredArray | None, images: StoredArray) -> list[str] | None:
    if stored is None:
        return None
    with naming(stored.where):
        if stored.dtype.kind != "U" or stored.shape != (images.shape[0],):
            raise DataError(f"its shape is {stored.shape} of {stored.dtype}: texts are one string for each image")
        return [str(text) for text in stored.whole()]


def _class_names(arrays: dict[str, StoredArray], labels: list[NDArray[np.int64]]) -> tuple[str, ...]:
    if not labels:
        return ()
    num_classes = max(int(values.max(initial=-1)) for values in labels) + 1
    stored = arrays.get(CLASS_NAMES)
    if stored is None:
        return tuple(str(label) for label in range(num_classes))
    with naming(stored.where):
        if stored.dtype.kind != "U" or len(stored.shape) != 1 or stored.shape[0] < num_classes:
            raise DataError(f"its shape is {stored.shape} of {stored.dtype}: it needs a name for each of {num_classes}")
        return tuple(str(name) for name in stored.whole())


def _channels_last(row: NDArray[Any]) -> NDArray[np.uint8]:
    if row.ndim == 2:
        return row[..., None]
    return row if row.shape[-1] in (1, 3) else row.transpose(1, 2, 0)
