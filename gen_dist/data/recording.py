"""One example of a source as the record that a dataset stores, checked."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from gen_dist.data.errors import DataError, naming
from gen_dist.data.pairs import PairRule
from gen_dist.data.sources.source import Example
from gen_dist.data.spill import Record
from gen_dist.data.transform import OneShape, Transform
from gen_dist.types import DataSpec, SourceSpec


@final
class Recorder:
    """Makes records of one shape: that of the first example, image and source.

    Args:
        transform: applied to every image.
        pairs: makes each image's source out of the image; None for none, or where examples bring them.
        class_names: of the source of images.
    """

    def __init__(self, transform: Transform, pairs: PairRule | None, class_names: tuple[str, ...]) -> None:
        self._transform, self._pairs, self._class_names = transform, pairs, class_names
        self._images, self._sources = OneShape("image"), OneShape("source")

    def spec(self, *, paired: bool = True) -> DataSpec:
        """Of what was recorded, which is at least one image; captions are not known yet.

        Args:
            paired: whether sources belong to their images.
        """
        assert self._images.shape is not None, "a first image was recorded"
        height, width, channels = self._images.shape
        source = None
        if self._sources.shape is not None:
            source_height, source_width, source_channels = self._sources.shape
            source = SourceSpec(channels=source_channels, height=source_height, width=source_width, paired=paired)
        return DataSpec(channels=channels, height=height, width=width, class_names=self._class_names, source=source)

    def record(self, example: Example) -> Record:
        """What is stored of an example.

        Raises:
            DataError: it can't be read or does not fit the others; the cause, without the name of its file.
        """
        image, source = self._pixels(example)
        num_classes = len(self._class_names)
        if num_classes and (example.label is None or not 0 <= example.label < num_classes):
            raise DataError(f"its label is {example.label}, not one of 0..{num_classes - 1}")
        if example.text is not None and "\0" in example.text:
            raise DataError("its caption holds a character of code 0, which marks the end of captions: leave it out")
        self._images.check(image, example.where)
        if source is None:
            return Record(example.id, example.label, example.text, image.tobytes())
        with naming(example.source_where):
            self._sources.check(source, example.source_where)
        return Record(example.id, example.label, example.text, image.tobytes(), source.tobytes())

    def _pixels(self, example: Example) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        if self._pairs is not None:
            assert example.load_source is None, "sources are either made or brought"
            return self._pairs(example.load(), self._transform)
        image = self._transform(example.load())
        if example.load_source is None:
            return image, None
        with naming(example.source_where):
            return image, self._transform(example.load_source())
