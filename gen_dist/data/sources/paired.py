"""Two folders: an image and what it is to be made from have the same name.

photos/train/a.jpg   drawings/train/a.png   the ending may differ, the folders inside may not
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

from gen_dist.data.errors import DataError
from gen_dist.data.sources.folder import FolderSource
from gen_dist.data.sources.source import Example, bad_example


@final
class PairedSource:
    """The images of one folder, each with the image of the same name in another one.

    An image without a counterpart, on either side, is a bad example.

    Args:
        images: folder of what is to be made.
        sources: folder of what it is made from. Its class folders are names only: the labels are those of the images.
    """

    paired = True

    def __init__(self, images: Path, sources: Path) -> None:
        for folder in (images, sources):
            if not folder.is_dir():
                raise DataError(f"{folder} is not a folder: pairs by name are made from two folders of images")
        self._images = FolderSource(images)
        self.name = self._images.name
        self.class_names = self._images.class_names
        self.published_splits = self._images.published_splits
        self.has_text = self._images.has_text
        self._folders = images, sources
        self._sources = _by_name(FolderSource(sources))
        self._single = sorted(self._sources.keys() - _by_name(self._images).keys())

    @property
    def num_examples(self) -> int:
        """The images, and the sources without an image."""
        return self._images.num_examples + len(self._single)

    def examples(self) -> Iterator[Example]:
        """The images in the order of their paths, then the sources without an image."""
        images, sources = self._folders
        for example in self._images.examples():
            source = self._sources.get(_name(example))
            if source is None:
                yield bad_example(example.where, f"there is no image of this name in {sources}")
            else:
                yield replace(example, load_source=source.load, source_where=source.where)
        for name in self._single:
            yield bad_example(self._sources[name].where, f"there is no image of this name in {images}")


def _by_name(folder: FolderSource) -> dict[str, Example]:
    found: dict[str, Example] = {}
    for example in folder.examples():
        before = found.setdefault(_name(example), example)
        if before is not example:
            raise DataError(f"{before.where} and {example.where} have the same name: keep one of them")
    return found


def _name(example: Example) -> str:
    folder, separator, file = example.id.rpartition("/")
    return folder + separator + file.rpartition(".")[0]
