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
from functools import partial
from pathlib import Path
from typing import final

from PIL import Image

from gen_dist.data.errors import DataError
from gen_dist.data.schema import SplitName
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
class FolderSource:
    """All images below a folder, in the order of their paths; hidden files are left out."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder
        self._files = sorted(_image_files(folder))
        if not self._files:
            raise DataError(f"{folder} holds no images (PNG or JPEG)")
        top = {path.parts[0] for path in self._files}
        self._has_splits = all(len(path.parts) > 1 for path in self._files) and top <= SPLIT_FOLDERS.keys()
        self.published_splits = published(self._split(path) for path in self._files)
        classes = [self._class(path) for path in self._files]
        if None in classes and any(classes):
            unlabelled, labelled = self._files[classes.index(None)], next(c for c in classes if c)
            raise DataError(
                f"{folder / unlabelled} lies in no class folder, while others do ({labelled}): put all images in class "
                "folders or none"
            )
        self.class_names = tuple(sorted({name for name in classes if name is not None}))
        self.has_text = any((folder / path).with_suffix(".txt").is_file() for path in self._files)

    @property
    def num_examples(self) -> int:
        """Number of files."""
        return len(self._files)

    def examples(self) -> Iterator[Example]:
        """One per file."""
        for path in self._files:
            file = self._folder / path
            name = path.as_posix()
            if not name.isprintable():
                yield bad_example(ascii(str(file)), "its name holds characters that can't be printed: rename it")
                continue
            class_name = self._class(path)
            try:
                text = self._text(file)
            except DataError as error:
                yield bad_example(str(file), str(error))
                continue
            yield Example(
                id=name,
                where=str(file),
                load=partial(_load, file),
                split=self._split(path),
                label=None if class_name is None else self.class_names.index(class_name),
                text=text,
            )

    def _split(self, path: Path) -> SplitName | None:
        return SPLIT_FOLDERS[path.parts[0]] if self._has_splits else None

    def _class(self, path: Path) -> str | None:
        folders = path.parts[1 if self._has_splits else 0 : -1]
        return folders[0] if folders else None

    def _text(self, file: Path) -> str | None:
        caption = file.with_suffix(".txt")
        if not self.has_text or not caption.is_file():
            return None
        with caption.open("rb") as content:
            data = content.read(MAX_CAPTION_FILE_BYTES + 1)
        if len(data) > MAX_CAPTION_FILE_BYTES:
            raise DataError(f"{caption.name} is no caption: it has more than {MAX_CAPTION_FILE_BYTES} bytes")
        return data.decode("utf-8", errors="replace").strip()


def _image_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if not hidden and path.suffix.lower() in SUFFIXES + OTHER_IMAGE_SUFFIXES and path.is_file():
            yield relative


def _load(file: Path) -> Pixels:
    if file.suffix.lower() in OTHER_IMAGE_SUFFIXES:
        raise DataError("only PNG and JPEG files are read: convert it")
    data = _content(file)
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


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            data = content.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DataError(f"it can't be read ({error.strerror or error})") from error
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"the file has more than {MAX_FILE_BYTES} bytes")
    return data
