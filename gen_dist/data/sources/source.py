"""What every source of images gives to the import: examples whose pixels are read one at a time, when asked for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gen_dist.data.errors import DataError
from gen_dist.data.schema import SplitName
from gen_dist.data.split import SplitShares, split_of


@runtime_checkable
class Readable(Protocol):
    """An open file, of whatever kind, that is only read forwards."""

    def read(self, size: int = ..., /) -> bytes:
        """The next bytes, fewer only at the end."""


Pixels = Image.Image | NDArray[np.uint8]
MAX_IMAGE_BYTES = 64 << 20
MAX_UNPACKED_BYTES = 64 << 30


@dataclass(frozen=True, slots=True)
class Example:
    """One image of a source.

    Attributes:
        id: unique in the source, and the same at every import: the split depends on it.
        where: names the file (and the place in it) in messages.
        load: reads the pixels: a Pillow image, or an array (height, width, 1 or 3). A DataError says what is wrong
            with them; the import puts `where` before it.
        split: the split in which the source publishes it.
        label: index into the source's class names.
        text: a caption.
        load_source: reads the pixels of what the image is to be made from, as `load` does; None without such.
        source_where: names the file of that in messages.
        group: examples of one group fall into one split; None for an example of its own.
    """

    id: str
    where: str
    load: Callable[[], Pixels]
    split: SplitName | None = None
    label: int | None = None
    text: str | None = None
    load_source: Callable[[], Pixels] | None = None
    source_where: str = "its source"
    group: str | None = None


@runtime_checkable
class Source(Protocol):
    """Some images in some layout. Opening one reads no more than headers and names.

    Attributes:
        name: for the provenance and for messages.
        class_names: one per label; empty for unlabelled images.
        published_splits: splits that its examples name.
        has_text: whether examples carry texts.
        num_examples: how many `examples` gives; when a file turns out to be cut off, one bad example stands for what
            is missing.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def published_splits(self) -> frozenset[SplitName]: ...  # noqa: D102

    @property
    def has_text(self) -> bool: ...  # noqa: D102

    @property
    def num_examples(self) -> int: ...  # noqa: D102

    def examples(self) -> Iterator[Example]:
        """All examples, in a fixed order. DataError when the source as a whole can't be read."""


@runtime_checkable
class GivesSources(Protocol):
    """A `Source` all of whose examples bring what the image is to be made from.

    Attributes:
        paired: whether each belongs to its image.
    """

    @property
    def paired(self) -> bool: ...  # noqa: D102


def split_of_example(example: Example, source: Source, shares: SplitShares) -> SplitName:
    """The split of one example of a source; see `split_of`."""
    return split_of(example.group or example.id, example.split, source.published_splits, shares)


def bad_example(where: str, cause: str) -> Example:
    """Stands for images that can't be read: loading it raises a DataError with the cause."""

    def fail() -> NoReturn:
        raise DataError(cause)

    return Example(id=where, where=where, load=fail)


def loaded(pixels: NDArray[np.uint8]) -> Callable[[], Pixels]:
    """For pixels that are in memory already."""
    return lambda: pixels


def published(splits: Iterable[SplitName | None]) -> frozenset[SplitName]:
    """The splits among these."""
    return frozenset(split for split in splits if split is not None)
