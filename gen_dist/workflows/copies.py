"""Does a model copy its training images? Nearest neighbours of samples, measured by those of images it never saw."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Shaped, UInt8
from rich.table import Table
from torch import Tensor

from gen_dist.data.dataset import Dataset
from gen_dist.evaluation.extractor import Extractor
from gen_dist.sampling.grids import GREY, sample_grid
from gen_dist.sampling.neighbours import Neighbours, near_copies, near_copy_distance, nearest
from gen_dist.types import DataSpec
from gen_dist.workflows.exhibit import Exhibit

MAX_HELD_OUT = 2_000
"""Images of each half of the held-out ones at most."""
NOMINAL, LEAST_BELOW = 0.01, 5
"""Share of real images that count as near-copies; and how many real images a threshold rests on at least."""
IMAGES_PER_CHUNK = 4_096
"""Whose features are computed at a time; kept as float32."""
SHOWN_NEIGHBOURS = 3
NOT_CHANCE = 3.0
"""Standard errors beyond which a share is not the nominal one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceFigures:
    """What was found in one space.

    Attributes:
        threshold: distance up to which an image is a near-copy.
        samples: share of the samples that are near-copies.
        real: share of the test images that are; the anchor.
        median_samples: distance of samples to their nearest training image.
        median_real: the same of the test images.
    """

    threshold: float
    samples: float
    real: float
    median_samples: float
    median_real: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyReport:
    """Neighbours of samples, and what they say.

    Attributes:
        samples: the images that were looked at.
        pixels: their neighbours; the distance is the root mean square difference of pixels, of 255.
        features: their neighbours; the distance is Euclidean, and a feature's training variance is about 1 on average.
        figures: by space, "pixels" and "features".
        extractor: name of the features.
        nominal: share of held-out images that the thresholds let through.
        num_train: training images.
        num_threshold: held-out images that set the thresholds.
        num_real: other held-out images.
    """

    samples: UInt8[Tensor, "n c h w"]
    pixels: Neighbours
    features: Neighbours
    figures: dict[str, SpaceFigures]
    extractor: str
    nominal: float
    num_train: int
    num_threshold: int
    num_real: int

    @property
    def standard_error(self) -> float:
        """By how much chance alone moves the samples' share: of the threshold, and of the samples."""
        variance = self.nominal * (1.0 - self.nominal)
        return math.sqrt(variance / self.num_threshold + variance / len(self.samples))


def copy_report(
    samples: UInt8[Tensor, "n c h w"],
    dataset: Dataset,
    extractor: Extractor,
    *,
    nominal: float | None = None,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _text: None,
) -> CopyReport:
    """Find the nearest training images of samples, in pixels and in features, and count near-copies.

    The held-out images (validation and test split) are parted in two. A near-copy is nearer to a training image than
    all but the `nominal` share of the first half are to theirs. The other half, which had no part in that threshold, is
    the anchor.

    Args:
        samples: of the model.
        dataset: that it was trained on.
        extractor: of features.
        nominal: share of real images that count as near-copies; when None it is `NOMINAL`, or more where so few are
            held out that less than `LEAST_BELOW` of them would set the threshold.
        seed: of the choice of held-out images, where there are more than `MAX_HELD_OUT`.
        tell: told what runs now.

    Raises:
        ValueError: there are too few images, the samples have another shape, or the share is not below 1.
    """
    check_shape(samples, dataset.spec)
    train = dataset.read("train").images
    threshold_images, real = _held_out(dataset, seed)
    if nominal is None:
        nominal = min(0.5, max(NOMINAL, LEAST_BELOW / len(threshold_images)))
    sets = (train, samples, threshold_images, real)
    pixels = [images.flatten(1) for images in sets]
    found, figures = {}, {}
    found["pixels"], figures["pixels"] = _measured(
        pixels, nominal, 1.0 / math.sqrt(pixels[0].shape[1]), lambda name: tell(f"nearest in pixels: {name}")
    )
    tell("features of all images")
    features = [_features(extractor, images) for images in sets]
    found["features"], figures["features"] = _measured(
        features, nominal, 1.0, lambda name: tell(f"nearest in features: {name}")
    )
    return CopyReport(
        samples=samples,
        pixels=found["pixels"],
        features=found["features"],
        figures=figures,
        extractor=extractor.name,
        nominal=nominal,
        num_train=len(train),
        num_threshold=len(threshold_images),
        num_real=len(real),
    )


def copies_view(report: CopyReport) -> Table:
    """Figures for people, those of real images below them."""
    figures = report.figures.values()
    new = f"{report.num_real} new real images"
    table = Table("", title=f"Nearest of {report.num_train} training images")
    for space in report.figures:
        table.add_column(f"features ({report.extractor})" if space == "features" else "pixels (of 255)")
    table.add_row("a near-copy is not further than", *(f"{space.threshold:.3g}" for space in figures))
    table.add_row("near-copies among samples", *(f"{100 * space.samples:.1f} %" for space in figures), style="bold")
    table.add_row(f"near-copies among {new}", *(f"{100 * space.real:.1f} %" for space in figures))
    table.add_row("median distance of samples", *(f"{space.median_samples:.3g}" for space in figures))
    table.add_row("median distance of new real images", *(f"{space.median_real:.3g}" for space in figures))
    return table


def verdict(report: CopyReport) -> str:
    """What the shares say, in a sentence."""
    error = report.standard_error
    chance = (
        f"of {len(report.samples)} new real images {100 * report.nominal:.2g} % would be near-copies, give or take "
        f"{100 * error:.2g} points by chance"
    )
    beyond = [
        space for space, figures in report.figures.items() if figures.samples > report.nominal + NOT_CHANCE * error
    ]
    if beyond:
        return f"{chance}: more than that in {' and in '.join(beyond)}, so look at the picture for copies"
    return f"{chance}: not more than that, so no sign of copying"


def copies_sheet(report: CopyReport, dataset: Dataset, *, rows: int) -> Exhibit:
    """The samples nearest to a training image, the most suspicious first, each beside its neighbours in both spaces.

    Raises:
        ValueError: `rows` is below 1.
    """
    if rows < 1:
        raise ValueError(f"rows is {rows}: show at least 1 sample")
    ratios = _ratio(report, "pixels").minimum(_ratio(report, "features"))
    order = ratios.argsort(stable=True)[:rows].tolist()
    train = dataset.read("train").images
    sheet, labels = [], []
    for index in order:
        near = [train[found.indices[index]] for found in (report.pixels, report.features)]
        sheet.append(torch.cat([report.samples[index][None], *near]))
        is_copy = any(_nearest(report, space)[index] <= report.figures[space].threshold for space in report.figures)
        labels.append(f"{index}, near-copy" if is_copy else str(index))
    width = report.pixels.indices.shape[1]
    above = ["sample", "nearest in pixels", *[""] * (width - 1), "nearest in features", *[""] * (width - 1)]
    gaps = (1, 1 + width)
    picture = sample_grid(
        torch.cat(sheet), len(above), row_labels=labels, column_labels=above, background=GREY, gaps=gaps
    )
    figures = {
        space: {
            "near_copy_up_to": values.threshold,
            "near_copies": values.samples,
            "near_copies_real": values.real,
            "median_distance": values.median_samples,
            "median_distance_real": values.median_real,
        }
        for space, values in report.figures.items()
    }
    return Exhibit((picture,), figures={"samples": len(report.samples), "nominal": report.nominal, **figures})


def check_shape(images: UInt8[Tensor, "n c h w"], spec: DataSpec) -> None:
    """Refuse to compare images with those of other data.

    Raises:
        ValueError: the shapes differ.
    """
    if images.shape[1:] != spec.shape:
        raise ValueError(
            f"the model draws images of {tuple(images.shape[1:])} (channels, height, width), and the data's are "
            f"{spec.shape}: name the data that the model was trained on"
        )


def _held_out(dataset: Dataset, seed: int) -> tuple[UInt8[Tensor, "n c h w"], UInt8[Tensor, "m c h w"]]:
    """Images that set the threshold, and other ones that test it."""
    splits = [split for split in ("validation", "test") if dataset.num_images(split)]
    each = 2 * MAX_HELD_OUT // max(1, len(splits))
    parts = [dataset.read(split, limit=each, seed=seed).images for split in splits]
    images = torch.cat(parts) if parts else torch.empty(0)
    if len(images) < 2:
        raise ValueError(f"{dataset.uri} has {len(images)} images outside of its training split: it takes 2 or more")
    return images[0::2], images[1::2]


def _measured(
    sets: Sequence[Tensor], nominal: float, unit: float, tell: Callable[[str], None]
) -> tuple[Neighbours, SpaceFigures]:
    """The samples' neighbours and what they say, in one space.

    Args:
        sets: rows of the training images, the samples, the images that set the threshold, and those that test it.
        nominal: share that the threshold lets through.
        unit: factor on distances.
        tell: told whose neighbours are looked for.
    """
    references, *queries = sets
    neighbours = []
    for name, rows in zip(("samples", "held-out images", "other held-out images"), queries, strict=True):

        def report(share: float, name: str = name) -> None:
            tell(f"{name}, {share:.0%}")

        report(0.0)
        found = nearest(rows, references, min(SHOWN_NEIGHBOURS, len(references)), report=report)
        neighbours.append(Neighbours(found.distances * unit, found.indices))
    of_samples, of_threshold, of_real = (part.distances[:, 0] for part in neighbours)
    threshold = near_copy_distance(of_threshold, nominal)
    return neighbours[0], SpaceFigures(
        threshold=threshold,
        samples=_share(near_copies(of_samples, threshold)),
        real=_share(near_copies(of_real, threshold)),
        median_samples=float(of_samples.median()),
        median_real=float(of_real.median()),
    )


def _features(extractor: Extractor, images: UInt8[Tensor, "n c h w"]) -> Shaped[Tensor, "n f"]:
    return torch.cat([extractor.extract(chunk).features.float() for chunk in torch.split(images, IMAGES_PER_CHUNK)])


def _nearest(report: CopyReport, space: str) -> Float64[Tensor, " n"]:
    return (report.pixels if space == "pixels" else report.features).distances[:, 0]


def _ratio(report: CopyReport, space: str) -> Float64[Tensor, " n"]:
    """Distances in units of the threshold, so that both spaces compare."""
    figures = report.figures[space]
    return _nearest(report, space) / max(figures.threshold, 1e-12)


def _share(chosen: Bool[Tensor, " n"]) -> float:
    return float(chosen.double().mean())
