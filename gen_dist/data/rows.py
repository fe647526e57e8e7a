"""Some rows of a split side by side, as arrays."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from gen_dist.types import DataSpec, ImageBatch


@final
@dataclass(frozen=True, slots=True)
class Rows:
    """Images (n, channels, height, width) and what belongs to each of them, None where the dataset has none of it.

    Attributes:
        images: 0..255.
        labels: (n,).
        sources: (n, channels, height, width) of the source.
        captions: (n, caption_bytes) of UTF-8, filled up with zeros.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    sources: NDArray[np.uint8] | None = None
    captions: NDArray[np.uint8] | None = None

    @staticmethod
    def empty(num_rows: int, spec: DataSpec) -> "Rows":
        """Room for so many rows."""
        return Rows.of_batch(empty_batch(num_rows, spec))

    @staticmethod
    def of_batch(batch: ImageBatch) -> "Rows":
        """The same memory as a batch."""
        return Rows(
            batch.images.numpy(),
            None if batch.labels is None else batch.labels.numpy(),
            None if batch.sources is None else batch.sources.numpy(),
            None if batch.captions is None else batch.captions.numpy(),
        )

    def to_batch(self) -> ImageBatch:
        """The same memory as tensors."""
        return ImageBatch(
            images=torch.from_numpy(self.images),
            labels=None if self.labels is None else torch.from_numpy(self.labels),
            sources=None if self.sources is None else torch.from_numpy(self.sources),
            captions=None if self.captions is None else torch.from_numpy(self.captions),
        )

    def first(self, count: int) -> "Rows":
        """The first rows, in the same memory."""
        return Rows(
            self.images[:count],
            None if self.labels is None else self.labels[:count],
            None if self.sources is None else self.sources[:count],
            None if self.captions is None else self.captions[:count],
        )

    def put(self, start: int, rows: "Rows", chosen: NDArray[np.int64], chosen_sources: NDArray[np.int64]) -> None:
        """Copy some rows of others to [start, start + len(chosen)).

        Args:
            start: where the first of them goes.
            rows: of the same dataset.
            chosen: indices of the rows.
            chosen_sources: indices of the rows whose sources go with them: the same for pairs.
        """
        part = slice(start, start + len(chosen))
        for mine, theirs, indices in (
            (self.images, rows.images, chosen),
            (self.labels, rows.labels, chosen),
            (self.sources, rows.sources, chosen_sources),
            (self.captions, rows.captions, chosen),
        ):
            if mine is not None and theirs is not None:
                # mode="clip" lets numpy write straight into `out`; every index is in range.
                np.take(theirs, indices, axis=0, out=mine[part], mode="clip")


def empty_batch(num_images: int, spec: DataSpec, *, pin_memory: bool = False) -> ImageBatch:
    """Room for a batch of a dataset, page-locked if asked for."""

    def room(shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> torch.Tensor:
        return torch.empty((num_images, *shape), dtype=dtype, pin_memory=pin_memory)

    return ImageBatch(
        images=room(spec.shape),
        labels=room((), torch.int64) if spec.num_classes else None,
        sources=None if spec.source is None else room(spec.source.shape),
        captions=room((spec.caption_bytes,)) if spec.caption_bytes else None,
    )
