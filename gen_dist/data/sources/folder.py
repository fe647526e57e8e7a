"""A folder of PNG and JPEG files, as people keep images.

photos/a.png                     unlabelled
pets/cat/1.jpg  pets/dog/2.jpg   folders become labels
set/train/cat/1.jpg set/test/..  folders named as splits are the published splits; labels or none below
birds/1.png  birds/1.txt         a text file beside an image is its caption
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import final

from PIL import Image

from gen_dist.data.errors import DataError
from gen_dist.data.schema import SplitName
from gen_dist.data.sources.files import Files, files_at
from gen_dist.data.sources.source import Example, Pixels, bad_example, published

FORMATS = ("PNG", "JPEG")
MAX_FILE_BYTES = 256 << 20
MAX_CAPTION_FILE_BYTES = 64 << 10
SUFFIXES = (".png", ".jpg", ".jpeg")
OTHER_IMAGE_SUFFIXES = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".heic")
SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FolderLayout:
    """What the paths of a folder's images mean: enough to make the example of any of them, on any machine.

    Attributes:
        folder: absolute path, or s3://bucket/prefix.
        class_names: in the order of their labels; empty without class folders.
        has_splits: whether the folders at the top are the published splits.
        captioned: whether any image has a text file beside it.
    """

    folder: str
    class_names: tuple[str, ...]
    has_splits: bool
    captioned: bool

    def split(self, path: PurePosixPath) -> SplitName | None:
        """In which the source publishes the image."""
        return SPLIT_FOLDERS[path.parts[0]] if self.has_splits else None

    def class_name(self, path: PurePosixPath) -> str | None:
        """Of the image; None for an image outside of all class folders."""
        folders = path.parts[1 if self.has_splits else 0 : -1]
        return folders[0] if folders else None

    def example(self, files: Files, path: PurePosixPath, *, has_caption: bool) -> Example:
        """One image; what is wrong with it shows when it is loaded."""
        where, name = files.where(path), path.as_posix()
        if not name.isprintable():
            return bad_example(ascii(where), "its name holds characters that can't be printed: rename it")
        class_name = self.class_name(path)
        try:
            text = _caption(files, path.with_suffix(".txt")) if has_caption else None
        except DataError as error:
            return bad_example(where, str(error))
        return Example(
            id=name,
            where=where,
            load=partial(_load, files, path),
            split=self.split(path),
            label=None if class_name is None else self.class_names.index(class_name),
            text=text,
        )


@final
class FolderSource:
    """All images below a folder or an s3:// prefix, in the order of their paths; hidden files are left out."""

    def __init__(self, folder: str | Path) -> None:
        self.files = files_at(folder)
        self.name = self.files.name
        found = list(self.files.paths())
        suffixes = SUFFIXES + OTHER_IMAGE_SUFFIXES
        self.paths = sorted(path for path in found if path.suffix.lower() in suffixes)
        if not self.paths:
            raise DataError(f"{self.name} holds no images (PNG or JPEG)")
        texts = {path for path in found if path.suffix == ".txt"}
        self.captioned = frozenset(path for path in self.paths if path.with_suffix(".txt") in texts)
        top = {path.parts[0] for path in self.paths}
        self.layout = FolderLayout(
            folder=self.files.address,
            class_names=(),
            has_splits=all(len(path.parts) > 1 for path in self.paths) and top <= SPLIT_FOLDERS.keys(),
            captioned=bool(self.captioned),
        )
        classes = [self.layout.class_name(path) for path in self.paths]
        if None in classes and any(classes):
            unlabelled, labelled = self.paths[classes.index(None)], next(c for c in classes if c)
            raise DataError(
                f"{self.files.where(unlabelled)} lies in no class folder, while others do ({labelled}): put all images "
                "in class folders or none"
            )
        self.class_names = tuple(sorted({name for name in classes if name is not None}))
        self.layout = replace(self.layout, class_names=self.class_names)
        self.published_splits = published(self.layout.split(path) for path in self.paths)
        self.has_text = self.layout.captioned

    @property
    def num_examples(self) -> int:
        """Number of files."""
        return len(self.paths)

    def examples(self) -> Iterator[Example]:
        """One per file."""
        for path in self.paths:
            yield self.layout.example(self.files, path, has_caption=path in self.captioned)


def _caption(files: Files, path: PurePosixPath) -> str:
    data = files.start(path, MAX_CAPTION_FILE_BYTES + 1)
    if len(data) > MAX_CAPTION_FILE_BYTES:
        raise DataError(f"{path.name} is no caption: it has more than {MAX_CAPTION_FILE_BYTES} bytes")
    return data.decode("utf-8", errors="replace").strip()


def _load(files: Files, path: PurePosixPath) -> Pixels:
    if path.suffix.lower() in OTHER_IMAGE_SUFFIXES:
        raise DataError("only PNG and JPEG files are read: convert it")
    data = files.start(path, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"the file has more than {MAX_FILE_BYTES} bytes")
    try:
        with warnings.catch_warnings():
            # Pillow only warns of an image whose pixels would fill the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                # Decoding alone does not look at a PNG's checksums, and this can't be asked of an image that is used.
                image.verify()
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                image.load()
                return image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"it unpacks to too many pixels: {error}") from error
    except BROKEN as error:
        raise DataError(f"it is not a whole PNG or JPEG image ({error})") from error
