"""Captions in one file: a table with a column for the image's file and one for its caption.

captions.csv      file,caption          a heading, then a row for each image
captions.jsonl    {"file": "cat/1.png", "caption": "a cat"}
captions.parquet  columns file and caption

`file` is the path below the folder of images. The columns may also be called file_name and text.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq

from gen_dist.data.errors import DataError
from gen_dist.data.sources.source import Example, Source, bad_example

FILE_COLUMNS = ("file", "file_name")
CAPTION_COLUMNS = ("caption", "text")


@final
class CaptionedSource:
    """The images of a source with the captions of a file, whatever texts the source brings itself.

    An image without a caption, or with an empty one, is a bad example, and so is a caption without an image.

    Args:
        images: of which the ids are paths below a folder.
        file: .csv, .jsonl or .parquet.
    """

    has_text = True

    def __init__(self, images: Source, file: Path) -> None:
        self.name = images.name
        self.class_names = images.class_names
        self.published_splits = images.published_splits
        self._images = images
        self._file = file
        self._captions = _read(file)
        ids = {example.id for example in images.examples()}
        self._unknown = [name for name in self._captions if name not in ids]

    @property
    def num_examples(self) -> int:
        """The images, and the captions without an image."""
        return self._images.num_examples + len(self._unknown)

    def examples(self) -> Iterator[Example]:
        """In the order of the images, then the captions without an image."""
        for example in self._images.examples():
            caption = self._captions.get(example.id, "")
            if caption:
                yield replace(example, text=caption)
            else:
                yield bad_example(example.where, f"{self._file} has no caption for it")
        for name in self._unknown:
            yield bad_example(f"{self._file}: {name}", f"there is no such image in {self._images.name}")


def _read(file: Path) -> dict[str, str]:
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    if file.suffix.lower() not in readers:
        raise DataError(f"{file}: captions are read from .csv, .jsonl and .parquet files")
    if not file.is_file():
        raise DataError(f"{file} does not exist: name the file of captions")
    captions: dict[str, str] = {}
    try:
        for where, row in readers[file.suffix.lower()](file):
            name = PurePosixPath(_cell(row, FILE_COLUMNS, f"{file}, {where}")).as_posix()
            if name in captions:
                raise DataError(f"{file}, {where}: {name} has a caption already: keep one for each image")
            captions[name] = _cell(row, CAPTION_COLUMNS, f"{file}, {where}").strip()
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, pa.ArrowInvalid) as error:
        raise DataError(f"{file} is not a {file.suffix[1:]} file of UTF-8 text ({error})") from error
    return captions


def _cell(row: Any, columns: tuple[str, ...], where: str) -> str:
    found = next((column for column in columns if isinstance(row, dict) and column in row), None)
    if found is None:
        has = f"its columns are {', '.join(map(str, row))}" if isinstance(row, dict) else f"it is {row!r}"
        raise DataError(f"{where}: there is no {columns[0]!r} ({has}): name the columns 'file' and 'caption'")
    value = row[found]
    if not isinstance(value, str):
        raise DataError(f"{where}: {found!r} is {value!r}, not a text")
    return value


def _csv_rows(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        for row in reader:
            yield f"line {reader.line_num}", row


def _jsonl_rows(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"line {number}", json.loads(line)


def _parquet_rows(file: Path) -> Iterator[tuple[str, Any]]:
    with pq.ParquetFile(file) as table:
        number = 0
        columns = [name for name in table.schema_arrow.names if name in FILE_COLUMNS + CAPTION_COLUMNS]
        for batch in table.iter_batches(columns=columns):
            for row in batch.to_pylist():
                yield f"row {number}", row
                number += 1
