"""numpy's .npy and .npz files, read row by row and never unpickled.

numpy's own reader needs the whole array in memory; here a row is read at a time, which also bounds what a small file
that claims to be huge can do.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from gen_dist.data.errors import DataError, naming
from gen_dist.data.sources.source import MAX_UNPACKED_BYTES, Readable

MAX_WHOLE_BYTES = 1 << 30
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, struct.error, ValueError)


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in a file: what its header says.

    Attributes:
        file: .npy or .npz.
        member: name in the .npz; None for a .npy.
        shape: of the array.
        dtype: of the array.
        is_fortran: whether its first index varies fastest.
    """

    file: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.file}[{self.member}]" if self.member else str(self.file)

    def rows(self) -> Iterator[NDArray[Any]]:
        """The array's rows one by one; a DataError tells the cause when the file ends too early or is damaged."""
        if self.is_fortran:
            yield from self.whole()
            return
        size = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        with _content(self) as content:
            for index in range(self.shape[0]):
                data = content.read(size)
                if len(data) < size:
                    raise DataError(f"the file is cut off: it holds {index} of {self.shape[0]} rows")
                yield np.frombuffer(data, dtype=self.dtype).reshape(self.shape[1:])
            if content.read(1):
                raise DataError("it holds more than its header says")

    def whole(self) -> NDArray[Any]:
        """The whole array, for labels and texts; a DataError tells the cause as in `rows`."""
        size = self.dtype.itemsize * int(np.prod(self.shape))
        if size > MAX_WHOLE_BYTES:
            raise DataError(f"it takes {size} bytes at once, more than {MAX_WHOLE_BYTES}")
        with _content(self) as content:
            data = content.read(size)
        if len(data) < size:
            raise DataError("the file is cut off")
        array = np.frombuffer(data, dtype=self.dtype)
        return array.reshape(self.shape[::-1]).T if self.is_fortran else array.reshape(self.shape)


def stored_arrays(file: Path) -> dict[str, StoredArray]:
    """The arrays of a .npz by name, or the one array of a .npy under the name "images".

    Raises:
        DataError: the file is damaged, is not of this kind, holds Python objects, or claims an absurd size.
    """
    if file.suffix == ".npy":
        with naming(str(file)), _explained(), file.open("rb") as content:
            return {"images": _header(file, None, content)}
    with naming(str(file)), _explained():
        archive = zipfile.ZipFile(file)
    arrays: dict[str, StoredArray] = {}
    with archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with naming(f"{file}[{member}]"), _explained(), archive.open(member) as content:
                    arrays[member.removesuffix(".npy")] = _header(file, member, content)
    return arrays


def _header(file: Path, member: str | None, content: Readable) -> StoredArray:
    version = npy_format.read_magic(content)
    if version == (1, 0):
        shape, is_fortran, dtype = npy_format.read_array_header_1_0(content)
    elif version == (2, 0):
        shape, is_fortran, dtype = npy_format.read_array_header_2_0(content)
    else:
        raise DataError(f"it is of version {version}; save it again with numpy.save")
    if dtype.hasobject:
        raise DataError("it holds Python objects, which are never unpickled: save plain numbers")
    if dtype.itemsize * int(np.prod(shape, dtype=object)) > MAX_UNPACKED_BYTES:
        raise DataError(f"its header claims an array of {shape}, more than {MAX_UNPACKED_BYTES} bytes")
    return StoredArray(file, member, shape, dtype, is_fortran)


@contextmanager
def _content(array: StoredArray) -> Iterator[Readable]:
    with _explained():
        if array.member is None:
            with array.file.open("rb") as content:
                _header(array.file, None, content)
                yield content
        else:
            with zipfile.ZipFile(array.file) as archive, archive.open(array.member) as content:
                _header(array.file, array.member, content)
                yield content


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except BROKEN as error:
        raise DataError(f"it is damaged, or not a file of numpy arrays ({error})") from error
