"""Two sets of images that do not belong together one by one: horses and zebras, photographs and paintings."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from typing import final

from gen_dist.data.errors import DataError
from gen_dist.data.schema import SPLITS, SplitName
from gen_dist.data.sources.source import Example, Source, split_of_example
from gen_dist.data.split import SplitShares


@final
class UnpairedSource:
    """The images of one set, each beside some image of another set that belongs to the same split.

    Where a split holds fewer of one than of the other, the fewer ones are repeated from the beginning. Opening it goes
    through both sets once, to count; what it keeps does not grow with them.

    Args:
        images: of what is to be made.
        sources: of what it is made from; labels and texts of these are not used.
        shares: of the splits, which each set gets as if it were imported alone.
    """

    paired = False
    published_splits: frozenset[SplitName] = frozenset(SPLITS)

    def __init__(self, images: Source, sources: Source, shares: SplitShares) -> None:
        self.name = images.name
        self.class_names = images.class_names
        self.has_text = images.has_text
        self._images = images
        self._sources = sources
        self._shares = shares
        counts = [self._count(source) for source in (images, sources)]
        self._counts = {split: (counts[0][split], counts[1][split]) for split in SPLITS}
        for split, (num_images, num_sources) in self._counts.items():
            if bool(num_images) != bool(num_sources):
                raise DataError(
                    f"the {split} split has {num_images} images of {images.name} and {num_sources} of {sources.name}: "
                    "each needs at least one, or both none (--validation and --test set the shares)"
                )

    @property
    def num_examples(self) -> int:
        """In each split as many as the larger side has."""
        return sum(max(counts) for counts in self._counts.values())

    @property
    def repeated(self) -> str:
        """Which side is repeated in which split, in words; "" when none is."""
        return "; ".join(
            f"{split}: {min(counts)} {'images' if num_images < num_sources else 'sources'} for {max(counts)}"
            for split, counts in self._counts.items()
            for num_images, num_sources in [counts]
            if num_images != num_sources
        )

    def examples(self) -> Iterator[Example]:
        """Split by split, in the order of the images."""
        for split, counts in self._counts.items():
            sides = zip(self._endless(self._images, split), self._endless(self._sources, split), strict=False)
            for (repeat, image), (_, source) in islice(sides, max(counts)):
                yield replace(
                    image,
                    id=f"{image.id}#{repeat}" if repeat else image.id,
                    split=split,
                    load_source=source.load,
                    source_where=source.where,
                )

    def _count(self, source: Source) -> dict[SplitName, int]:
        counts: dict[SplitName, int] = dict.fromkeys(SPLITS, 0)
        for example in source.examples():
            counts[split_of_example(example, source, self._shares)] += 1
        return counts

    def _endless(self, source: Source, split: SplitName) -> Iterator[tuple[int, Example]]:
        if 0 in self._counts[split]:
            return
        for repeat in count():
            for example in source.examples():
                if split_of_example(example, source, self._shares) == split:
                    yield repeat, example
