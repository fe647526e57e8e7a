"""Walks through a latent space as pictures: between points, and along single dimensions."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from rich.table import Table
from torch import Tensor

from gen_dist.data.dataset import Dataset
from gen_dist.learner import Learner
from gen_dist.sampling.animation import there_and_back
from gen_dist.sampling.grids import GREY, sample_grid
from gen_dist.sampling.interpolate import PathKind, path
from gen_dist.sampling.latents import Prior, decode_all, encode_all, numbered_latents
from gen_dist.sampling.traverse import changes, traversal
from gen_dist.workflows.exhibit import Exhibit

MAX_COLUMNS = 10
"""Of an animation."""
REACH = 3.0
"""Standard deviations of the prior that a traversal reaches to each side."""


@dataclass(frozen=True, slots=True)
class Points:
    """Where walks begin and end.

    Attributes:
        latents: one row per point.
        numbers: of the samples or images that they are.
        originals: the images that were encoded; None for samples.
    """

    latents: Float[Tensor, "n z"]
    numbers: tuple[int, ...]
    originals: UInt8[Tensor, "n c h w"] | None = None


def points_of(learner: Learner, numbers: Sequence[int], *, seed: int, dataset: Dataset | None, split: str) -> Points:
    """Points by number: of the samples of a seed, or of the images of a dataset, which are encoded.

    Raises:
        ValueError: a number is out of range, the images have another shape, or the learner lacks what it takes.
    """
    if dataset is None:
        return Points(numbered_latents(learner, numbers, seed=seed), tuple(numbers))
    most = dataset.num_images(split)
    if not numbers or min(numbers) < 0 or max(numbers) >= most:
        raise ValueError(
            f"the numbers of images are {list(numbers)}: the split {split!r} of {dataset.uri} has {most}, counted "
            "from 0"
        )
    originals = dataset.head(split, max(numbers) + 1).images[list(numbers)]
    return Points(encode_all(learner, originals, seed=seed), tuple(numbers), originals)


def interpolation(learner: Learner, points: Points, *, steps: int, kind: PathKind, moving: bool) -> Exhibit:
    """From each point to the next: a row of the sheet each, or all side by side, there and back.

    On the sheet, images that were encoded stand at the ends of their rows, outside of what the model makes of them.

    Raises:
        ValueError: there are fewer than 2 points, or fewer than 2 steps.
    """
    numbers = points.numbers
    if len(numbers) < 2:
        raise ValueError(f"a path has 2 ends, and the only point is {list(numbers)}: give at least 2 numbers")
    latents = points.latents
    rows = len(numbers) - 1
    walks = torch.stack([path(latents[row], latents[row + 1], steps, kind) for row in range(rows)])
    flat = decode_all(learner, walks.flatten(0, 1), seed=0)
    images = flat.reshape(rows, steps, *flat.shape[1:])
    figures = {"kind": kind, "points": list(numbers), "steps": steps}
    if moving:
        frames = there_and_back([sample_grid(images[:, step], background=GREY) for step in range(steps)])
        return Exhibit(tuple(frames), (0, steps - 1), figures)
    labels = [f"{start} to {end}" for start, end in itertools.pairwise(numbers)]
    if points.originals is None:
        return Exhibit((sample_grid(images.flatten(0, 1), steps, row_labels=labels, background=GREY),), figures=figures)
    originals = points.originals[:, None]
    sheet = torch.cat([originals[:-1], images, originals[1:]], dim=1)
    above = ["image", "decoded", *[""] * (steps - 1), "image"]
    picture = sample_grid(
        sheet.flatten(0, 1),
        steps + 2,
        row_labels=labels,
        column_labels=above,
        background=GREY,
        gaps=(1, steps + 1),
    )
    return Exhibit((picture,), figures=figures)


@dataclass(frozen=True, slots=True)
class Influence:
    """How much one latent dimension changes the picture.

    Attributes:
        dimension: from 0.
        change: root mean square difference of pixels (of 255) between its ends.
        rank: among all dimensions, from 1.
    """

    dimension: int
    change: float
    rank: int


def influences(
    learner: Learner,
    latents: Float[Tensor, "n z"],
    prior: Prior,
    dimensions: Sequence[int],
    num: int,
    *,
    report: Callable[[float], None] = lambda _share: None,
) -> list[Influence]:
    """The given dimensions, or the `num` that change the picture most, each moved from end to end.

    Args:
        learner: must be able to decode.
        latents: from which they are moved; the change is over all of them.
        prior: says where the ends are.
        dimensions: which; none for those that change most.
        num: how many of those.
        report: told which share is measured.

    Raises:
        ValueError: there is no such dimension.
    """
    size = latents.shape[1]
    wrong = [dimension for dimension in dimensions if not 0 <= dimension < size]
    if wrong:
        raise ValueError(f"there is no latent dimension {wrong[0]}: this model's are 0 to {size - 1}")
    if num < 1:
        raise ValueError(f"num is {num}: show at least 1 dimension")
    low, high = prior.mean - REACH * prior.deviation, prior.mean + REACH * prior.deviation
    change = changes(learner, latents, low, high, report=report)
    order = change.argsort(descending=True, stable=True).tolist()
    rank = {dimension: place for place, dimension in enumerate(order, 1)}
    return [Influence(d, float(change[d]), rank[d]) for d in (dimensions or order[:num])]


def traverse(
    learner: Learner, latent: Float[Tensor, " z"], prior: Prior, found: Sequence[Influence], *, steps: int, moving: bool
) -> Exhibit:
    """One latent with single dimensions moved: a row of the sheet each, or all side by side, there and back.

    Raises:
        ValueError: there are fewer than 2 steps.
    """
    if steps < 2:
        raise ValueError(f"steps is {steps}: a traversal has at least its 2 ends")
    values = torch.linspace(-REACH, REACH, steps, dtype=torch.float64)
    walks = [traversal(latent, d, prior.mean[d] + values * prior.deviation[d]) for d in (f.dimension for f in found)]
    flat = decode_all(learner, torch.cat(walks), seed=0)
    images = flat.reshape(len(found), steps, *flat.shape[1:])
    start = decode_all(learner, latent[None], seed=0)
    figures = {
        "unit": "1" if prior.standard_normal else "standard deviations of the prior",
        "change": {str(influence.dimension): influence.change for influence in found},
    }
    labels = [f"z{influence.dimension}" for influence in found]
    if moving:
        columns = min(len(found), MAX_COLUMNS)
        above = labels if len(labels) == columns else []
        frames: list[Image.Image] = [
            sample_grid(images[:, step], columns, column_labels=above, background=GREY) for step in range(steps)
        ]
        return Exhibit(tuple(there_and_back(frames)), (0, steps - 1), figures)
    sheet = torch.cat([torch.cat([start, row]) for row in images])
    above = ["start", *[f"{value:+.3g}" if value else "0" for value in values.tolist()]]
    picture = sample_grid(sheet, steps + 1, row_labels=labels, column_labels=above, background=GREY, gaps=(1,))
    return Exhibit((picture,), figures=figures)


def influences_view(found: Sequence[Influence], measured_on: Float[Tensor, "n z"], prior: Prior) -> Table:
    """Which dimensions are shown, and how much they change."""
    num, size = measured_on.shape
    unit = "" if prior.standard_normal else " standard deviations"
    table = Table("dimension", "change (of 255)", f"rank of {size}", title=f"From -3 to 3{unit}, in {num} samples")
    for influence in found:
        table.add_row(f"z{influence.dimension}", f"{influence.change:.1f}", str(influence.rank))
    return table
