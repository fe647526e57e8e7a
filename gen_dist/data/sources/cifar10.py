"""CIFAR-10: 60,000 RGB pictures of 32 x 32, from its binary version (the Python version would have to be unpickled).

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Layout:
https://www.cs.toronto.edu/~kriz/cifar.html ("Binary version"): a record is one label byte, then 32 x 32 bytes of red,
green, and blue.
"""

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import numpy as np

from gen_dist.data.errors import DataError
from gen_dist.data.schema import SplitName
from gen_dist.data.sources.source import Example, Readable, bad_example, loaded

SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE
RECORDS_PER_FILE = 10_000
FOLDER = "cifar-10-batches-bin"
FILES: tuple[tuple[str, SplitName], ...] = (
    *((f"data_batch_{number}.bin", "train") for number in range(1, 6)),
    ("test_batch.bin", "test"),
)
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@final
class Cifar10Source:
    """The published training and test images.

    Args:
        path: cifar-10-binary.tar.gz, or the folder cifar-10-batches-bin that it unpacks to.
    """

    name = "cifar10"
    class_names = CLASS_NAMES
    published_splits: frozenset[SplitName] = frozenset({"train", "test"})
    has_text = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_folder = path.is_dir()
        if self._is_folder:
            missing = [name for name, _ in FILES if not (path / name).is_file()]
            if missing:
                raise DataError(f"{path} has no {missing[0]}: it should be the unpacked {FOLDER} (binary version)")
        elif not path.is_file() or not tarfile.is_tarfile(path):
            raise DataError(f"{path} is neither cifar-10-binary.tar.gz nor its unpacked folder")

    @property
    def num_examples(self) -> int:
        """60,000."""
        return RECORDS_PER_FILE * len(FILES)

    def examples(self) -> Iterator[Example]:
        """In the order of the files."""
        splits = dict(FILES)
        missing = set(splits)
        try:
            for name, content in self._contents():
                missing.discard(name)
                yield from _records(f"{self._path}/{name}", name, content, splits[name])
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            yield bad_example(str(self._path), f"the archive is cut off or damaged ({error})")
            return
        for name in sorted(missing):
            yield bad_example(f"{self._path}/{name}", "it is missing; is this the binary version?")

    def _contents(self) -> Iterator[tuple[str, Readable]]:
        if self._is_folder:
            for name, _ in FILES:
                with (self._path / name).open("rb") as content:
                    yield name, content
            return
        # Members are read in place, by their exact names: nothing is extracted, so no name can lead out of a folder.
        wanted = {f"{FOLDER}/{name}": name for name, _ in FILES}
        with tarfile.open(self._path, "r|*") as archive:
            for member in archive:
                if member.name in wanted and member.isreg():
                    with _member(archive, member) as content:
                        yield wanted[member.name], content


@contextmanager
def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[Readable]:
    content = archive.extractfile(member)
    assert content is not None, "a regular file has content"
    with content:
        yield content


def _records(where: str, name: str, content: Readable, split: SplitName) -> Iterator[Example]:
    for index in range(RECORDS_PER_FILE):
        record = content.read(RECORD_BYTES)
        if len(record) < RECORD_BYTES:
            yield bad_example(where, f"the file is cut off after {index} of {RECORDS_PER_FILE} images")
            return
        pixels = np.frombuffer(record, dtype=np.uint8, offset=1).reshape(3, SIDE, SIDE).transpose(1, 2, 0)
        yield Example(
            id=f"{name.removesuffix('.bin')}/{index:05d}",
            where=f"{where}[{index}]",
            load=loaded(pixels),
            split=split,
            label=record[0],
        )
    if content.read(1):
        yield bad_example(where, f"the file holds more than {RECORDS_PER_FILE} images: it is not CIFAR-10")
