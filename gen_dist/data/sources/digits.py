"""The 1,797 handwritten digits of 8 x 8 pixels that ship inside scikit-learn: real data on every machine.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998 (its test part).
"""

from collections.abc import Iterator
from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from gen_dist.data.schema import SplitName
from gen_dist.data.sources.source import Example

LARGEST_VALUE = 16


@final
class DigitsSource:
    """Grey values 0..16, scaled to 0..255."""

    name = "digits"
    class_names = tuple("0123456789")
    published_splits: frozenset[SplitName] = frozenset()
    has_text = False

    def __init__(self) -> None:
        digits = load_digits()
        self._images = np.round(digits.images * (255 / LARGEST_VALUE)).astype(np.uint8)[..., None]
        self._labels = digits.target

    @property
    def num_examples(self) -> int:
        """1,797."""
        return len(self._images)

    def examples(self) -> Iterator[Example]:
        """In scikit-learn's order."""
        for index, label in enumerate(self._labels):
            yield Example(
                id=f"{index:04d}", where=f"digits[{index}]", load=partial(self._image, index), label=int(label)
            )

    def _image(self, index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self._images[index]
        return image
