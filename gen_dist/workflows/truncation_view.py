"""A truncation curve for people: a table, a chart, and samples at each threshold."""

import dataclasses
import io
from collections.abc import Mapping, Sequence

import torch
from PIL import Image
from rich.table import Table

from gen_dist.learner import Learner
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.grids import GREY, sample_grid
from gen_dist.tuning.report.style import ACCENT, INK, SECOND, new_figure, styled
from gen_dist.workflows.exhibit import Exhibit
from gen_dist.workflows.truncation import TruncationPoint

SHOWN = 12
"""Images of a row of the sheet."""
CHART_INCHES = 3.2


def truncation_view(points: Sequence[TruncationPoint], anchors: Mapping[str, float]) -> Table:
    """The curve for people, with real images in the last row."""
    table = Table("temperature", "precision", "recall", "Fréchet distance", "diversity")
    names = ("precision", "recall", "frechet_distance", "diversity")
    best = min(points, key=lambda point: point.frechet_distance)
    for point in points:
        values = [f"{value:.4g}" for value in (getattr(point, name) for name in names)]
        table.add_row(f"{point.threshold:g}", *values, style="bold" if point is best else None)
    table.add_row("real images", *(f"{anchors[f'{name}_real']:.4g}" for name in names), style="dim")
    return table


def truncation_sheet(
    learner: Learner, points: Sequence[TruncationPoint], anchors: Mapping[str, float], *, seed: int, moving: bool
) -> Exhibit:
    """The curve above samples at each threshold, all from the same noise; or the samples as they change."""
    rows = [draw_samples(learner, SHOWN, seed=seed, temperature=point.threshold) for point in points]
    labels = [f"{point.threshold:g}" for point in points]
    figures = {"points": [dataclasses.asdict(point) for point in points], "anchors": dict(anchors)}
    if moving:
        width = max(map(len, labels))
        frames = tuple(
            sample_grid(images, column_labels=[label.ljust(width), "", "", ""], background=GREY)
            for images, label in zip(rows, labels, strict=True)
        )
        return Exhibit(frames, tuple(range(len(frames))), figures)
    sheet = sample_grid(torch.cat(rows), SHOWN, row_labels=labels, background=GREY)
    return Exhibit((_stacked(_chart(points, anchors), sheet),), figures=figures)


def _chart(points: Sequence[TruncationPoint], anchors: Mapping[str, float]) -> Image.Image:
    with styled():
        figure = new_figure(CHART_INCHES)
        left, right = figure.subplots(1, 2)
        at = [point.threshold for point in points]
        for name, colour, marker in (("precision", ACCENT, "o"), ("recall", SECOND, "s")):
            left.plot(at, [getattr(point, name) for point in points], color=colour, marker=marker, label=name)
            left.axhline(anchors[f"{name}_real"], color=colour, linestyle=":", linewidth=1.1)
        left.set_title("fidelity and variety")
        left.set_ylim(-0.03, 1.03)
        left.legend()
        right.plot(at, [point.frechet_distance for point in points], color=INK, marker="o")
        right.axhline(anchors["frechet_distance_real"], color=INK, linestyle=":", linewidth=1.1)
        right.set_title("Fréchet distance")
        right.set_ylim(bottom=0)
        for axes in (left, right):
            axes.set_xlabel("temperature (dotted: real images)")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return Image.open(buffer).convert("RGB")


def _stacked(upper: Image.Image, lower: Image.Image) -> Image.Image:
    width = max(upper.width, lower.width)
    stacked = Image.new("RGB", (width, upper.height + lower.height), "white")
    stacked.paste(upper, (0, 0))
    stacked.paste(lower, ((width - lower.width) // 2, upper.height))
    return stacked
