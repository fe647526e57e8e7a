"""Nearest training images: has a model learned its data, or learned it by heart?

A distance alone says nothing. What it is measured by are real images that the model has never seen: if samples lie
nearer to training images than those do, the model remembers. The threshold below which a sample counts as a near-copy
is the distance that a small nominal share of held-out images does not exceed; other held-out images must then fall
below it about as often, which shows that the threshold is sound.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64, Shaped
from torch import Tensor

QUERIES_PER_BLOCK = 512
REFERENCES_PER_BLOCK = 4096
"""Rows that are turned to float64 at a time: all the memory that 60,000 images take beyond their own."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest rows of a reference set, nearest first.

    Attributes:
        distances: Euclidean.
        indices: of the rows.
    """

    distances: Float64[Tensor, "n k"]
    indices: Int64[Tensor, "n k"]


def nearest(
    queries: Shaped[Tensor, "n d"],
    references: Shaped[Tensor, "m d"],
    num: int = 1,
    *,
    report: Callable[[float], None] = lambda _share: None,
) -> Neighbours:
    """The `num` nearest references of each query, found block by block; equal rows are at distance 0 exactly.

    Args:
        queries: rows of any type, 8-bit pixels or features.
        references: as many values in each row.
        num: neighbours; at most as many as there are references.
        report: told which share is done.

    Raises:
        ValueError: there are fewer references than neighbours asked for, or `num` is below 1.
    """
    if not 1 <= num <= len(references):
        raise ValueError(f"{num} neighbours among {len(references)} images: ask for at least 1, and for no more images")
    found = []
    blocks = torch.split(queries, QUERIES_PER_BLOCK)
    for index, block in enumerate(blocks):
        found.append(_nearest_of_block(block, references, num))
        report((index + 1) / len(blocks))
    return Neighbours(torch.cat([part.distances for part in found]), torch.cat([part.indices for part in found]))


def near_copy_distance(held_out: Float64[Tensor, " n"], share: float) -> float:
    """The distance that this share of held-out images does not exceed to their nearest training image.

    Raises:
        ValueError: the share is not between 0 and 1, or there are no distances.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"the nominal share of near-copies is {share}: it must be above 0 and below 1")
    if not len(held_out):
        raise ValueError("there are no held-out images to measure near-copies by")
    return float(torch.quantile(held_out, share))


def near_copies(distances: Float64[Tensor, " n"], threshold: float) -> Bool[Tensor, " n"]:
    """Which images are near-copies: none further from its nearest training image than the threshold."""
    return distances <= threshold


def _nearest_of_block(queries: Tensor, references: Tensor, num: int) -> Neighbours:
    rows = queries.double()
    best_squares = torch.full((len(rows), 0), torch.inf, dtype=torch.float64)
    best = torch.zeros((len(rows), 0), dtype=torch.int64)
    first = 0
    for block in torch.split(references, REFERENCES_PER_BLOCK):
        squares = _squared_distances(rows, block.double())
        indices = torch.arange(first, first + len(block)).expand(len(rows), -1)
        all_squares, all_indices = torch.cat([best_squares, squares], 1), torch.cat([best, indices], 1)
        kept = all_squares.topk(min(num, all_squares.shape[1]), dim=1, largest=False)
        best_squares, best = kept.values, all_indices.gather(1, kept.indices)
        first += len(block)
    # The matrix product leaves a rounding error where rows are equal: measure what was found by differences.
    exact = torch.stack([(rows - references[column].double()).norm(dim=1) for column in best.unbind(1)], dim=1)
    order = exact.argsort(dim=1, stable=True)
    return Neighbours(exact.gather(1, order), best.gather(1, order))


def _squared_distances(first: Float64[Tensor, "n d"], second: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    return first.square().sum(1)[:, None] + second.square().sum(1) - 2.0 * first @ second.T
