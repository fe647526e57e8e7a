"""IDX files, the layout of MNIST: a header of big-endian sizes, then one byte per pixel; plain or gzipped.

Layout: http://yann.lecun.com/exdb/mnist/ ("the IDX file format").
"""

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from gen_dist.data.errors import DataError, naming
from gen_dist.data.schema import SplitName
from gen_dist.data.sources.source import (
    MAX_IMAGE_BYTES,
    MAX_UNPACKED_BYTES,
    Example,
    Readable,
    bad_example,
    loaded,
    published,
)

IMAGES_MAGIC = 0x0803
LABELS_MAGIC = 0x0801
GZIP_MAGIC = b"\x1f\x8b"
IMAGES_NAME = re.compile(r"images?[-.]idx3-ubyte(\.gz)?$")
SPLIT_WORDS: tuple[tuple[str, SplitName], ...] = (("train", "train"), ("t10k", "test"), ("test", "test"))


@dataclass(frozen=True, slots=True)
class IdxFiles:
    """One file of images, its labels if it has any, and the split that it is."""

    images: Path
    labels: Path | None
    split: SplitName | None


def is_idx_folder(folder: Path) -> bool:
    """Whether files in it are named as MNIST's are."""
    return any(IMAGES_NAME.search(path.name) for path in folder.iterdir())


def find_idx_files(path: Path, labels: Path | None = None) -> tuple[IdxFiles, ...]:
    """The IDX files that a path names: one file of images, or MNIST's files in a folder.

    Args:
        path: a file, or a folder with names such as train-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.
        labels: of a single file; looked for beside it by MNIST's names when None.
    """
    if path.is_file():
        return (IdxFiles(path, labels or _labels_beside(path), None),)
    if labels is not None:
        raise DataError(f"{path} is a folder: labels are found by their names there; --labels goes with a single file")
    files: dict[SplitName, IdxFiles] = {}
    for images in sorted(path.iterdir()):
        if not IMAGES_NAME.search(images.name):
            continue
        split = next((split for word, split in SPLIT_WORDS if word in images.name), None)
        if split is None:
            raise DataError(f"{images}: its name has neither 'train' nor 'test' nor 't10k': import it as a single file")
        if split in files:
            raise DataError(f"{images} and {files[split].images} both are {split}: keep one of them in the folder")
        files[split] = IdxFiles(images, _labels_beside(images), split)
    if not files:
        raise DataError(f"{path} holds no IDX files of images (such as train-images-idx3-ubyte.gz)")
    return tuple(files.values())


@final
class IdxSource:
    """Grey images, with labels if every file of images has a file of labels.

    Args:
        name: for the provenance.
        files: of images and labels.
        class_names: of the labels; None names them by their numbers.
    """

    has_text = False

    def __init__(self, name: str, files: tuple[IdxFiles, ...], class_names: tuple[str, ...] | None = None) -> None:
        self.name = name
        self.published_splits = published(part.split for part in files)
        self._parts = [(part, *_read_images_header(part.images)) for part in files]
        if len({shape for _, _, shape in self._parts}) > 1:
            raise DataError(f"{files[0].images.parent}: the files hold images of different sizes")
        labelled = [part.labels is not None for part in files]
        if any(labelled) and not all(labelled):
            raise DataError(f"{files[labelled.index(False)].images} has no file of labels, and another has one")
        self._labels = [_read_labels(part, count) if part.labels else None for part, count, _ in self._parts]
        num_classes = max((int(labels.max(initial=-1)) + 1 for labels in self._labels if labels is not None), default=0)
        self.class_names = class_names or tuple(str(label) for label in range(num_classes))

    @property
    def num_examples(self) -> int:
        """As the headers say."""
        return sum(count for _, count, _ in self._parts)

    def examples(self) -> Iterator[Example]:
        """In the order of the files."""
        for (part, count, (height, width)), labels in zip(self._parts, self._labels, strict=True):
            prefix = part.split or "image"
            num_read = 0
            try:
                for index, pixels in enumerate(_images(part.images, count, height, width)):
                    num_read = index + 1
                    yield Example(
                        id=f"{prefix}/{index:08d}",
                        where=f"{part.images}[{index}]",
                        load=loaded(pixels),
                        split=part.split,
                        label=None if labels is None else int(labels[index]),
                    )
            except DataError as error:
                yield bad_example(str(part.images), f"{error} after {num_read} of {count} images")


def _images(path: Path, count: int, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    with _opened(path) as file:
        file.read(16)
        for _ in range(count):
            pixels = file.read(height * width)
            if len(pixels) < height * width:
                raise DataError("the file is cut off")
            yield np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 1)
        if file.read(1):
            raise DataError("the file holds more than its header says")


def _read_images_header(path: Path) -> tuple[int, tuple[int, int]]:
    with naming(str(path)), _opened(path) as file:
        header = file.read(16)
    magic = int.from_bytes(header[:4], "big")
    if magic != IMAGES_MAGIC:
        raise DataError(
            f"{path} is not an IDX file of images: it begins with 0x{magic:08x} instead of 0x{IMAGES_MAGIC:08x}"
        )
    if len(header) < 16:
        raise DataError(f"{path}: the file is cut off inside its header")
    count, height, width = struct.unpack(">III", header[4:])
    if not 1 <= height * width <= MAX_IMAGE_BYTES:
        raise DataError(f"{path}: its header names images of {width} x {height} pixels: not a size of images")
    if count * height * width > MAX_UNPACKED_BYTES:
        raise DataError(f"{path}: its header claims {count} images, more than {MAX_UNPACKED_BYTES} bytes")
    return count, (height, width)


def _read_labels(part: IdxFiles, num_images: int) -> NDArray[np.int64]:
    assert part.labels is not None
    with naming(str(part.labels)), _opened(part.labels) as file:
        header = file.read(8)
        magic = int.from_bytes(header[:4], "big")
        if magic != LABELS_MAGIC or len(header) < 8:
            raise DataError(f"not an IDX file of labels: it begins with 0x{magic:08x} instead of 0x{LABELS_MAGIC:08x}")
        (count,) = struct.unpack(">I", header[4:])
        if count != num_images:
            raise DataError(f"it holds {count} labels, and {part.images} holds {num_images} images")
        labels = np.frombuffer(file.read(count), dtype=np.uint8).astype(np.int64)
        if len(labels) < count:
            raise DataError(f"the file is cut off: it holds {len(labels)} of {count} labels")
    return labels


def _labels_beside(images: Path) -> Path | None:
    name = images.name.replace("images", "labels").replace("image", "label").replace("idx3", "idx1")
    for candidate in (name, name.removesuffix(".gz"), f"{name}.gz"):
        if candidate != images.name and (images.parent / candidate).is_file():
            return images.parent / candidate
    return None


@contextmanager
def _opened(path: Path) -> Iterator[Readable]:
    with path.open("rb") as raw:
        compressed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        try:
            if compressed:
                with gzip.open(raw, "rb") as file:
                    yield file
            else:
                yield raw
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"the gzip file is cut off or damaged ({error})") from error
