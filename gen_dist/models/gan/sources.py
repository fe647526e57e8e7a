"""Sources of translation models: those of a dataset, of a batch, and those that are to be translated."""

from jaxtyping import UInt8
from torch import Tensor

from gen_dist.types import DataSpec, ImageBatch, SourceSpec


def source_of(data: DataSpec, family: str) -> SourceSpec:
    """What the images of a dataset are translated from.

    Raises:
        ValueError: they are translated from nothing.
    """
    if data.source is None:
        raise ValueError(
            f"{family} translates one image into another, and this dataset has no sources: import it with them "
            "(`gen-dist import --help` says how)"
        )
    return data.source


def sources_of(batch: ImageBatch) -> UInt8[Tensor, "b s i j"]:
    """The sources of a batch of such a dataset."""
    assert batch.sources is not None, "a dataset whose spec has a source fills `sources`"
    return batch.sources


def check_sources(sources: UInt8[Tensor, "b s i j"], shape: tuple[int, int, int]) -> None:
    """Raise ValueError unless the images that are to be translated have this shape."""
    if tuple(sources.shape[1:]) != shape:
        raise ValueError(
            f"the sources are {tuple(sources.shape[1:])} (channels, height, width), and this model translates {shape}: "
            "give it sources like those that it was trained on"
        )
