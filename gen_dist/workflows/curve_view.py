"""A curve of fidelity and variety for people: a table, a chart, and samples at each of its points."""

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import UInt8
from PIL import Image
from rich.table import Table
from torch import Tensor

from gen_dist.sampling.grids import GREY, sample_grid
from gen_dist.tuning.report.style import ACCENT, INK, SECOND, new_figure, styled
from gen_dist.workflows.curve import CurvePoint
from gen_dist.workflows.exhibit import Exhibit

SHOWN = 12
"""Images of a row of the sheet."""
NAMES = ("precision", "recall", "frechet_distance")
CHART_INCHES = 3.2
CHART_DOTS_PER_INCH = 110


def curve_view(points: Sequence[CurvePoint], anchors: Mapping[str, float], *, setting: str) -> Table:
    """The curve as a table: the point of the lowest Fréchet distance is bold, real images are the last row."""
    table = Table(setting, "precision", "recall", "Fréchet distance")
    best = min(points, key=lambda point: point.frechet_distance)
    for point in points:
        values = [f"{value:.4g}" for value in (getattr(point, name) for name in NAMES)]
        table.add_row(f"{point.setting:g}", *values, style="bold" if point is best else None)
    table.add_row("real images", *(f"{anchors[f'{name}_real']:.4g}" for name in NAMES), style="dim")
    return table


def curve_sheet(
    points: Sequence[CurvePoint],
    rows: Sequence[UInt8[Tensor, "n c h w"]],
    anchors: Mapping[str, float],
    *,
    setting: str,
    moving: bool,
) -> Exhibit:
    """The curve above a row of samples at each of its points; or the samples as they change.

    Args:
        points: of the curve.
        rows: samples at each of them, from the same noise.
        anchors: figures of real images, as `Evaluator.anchors` gives them.
        setting: what is changed from point to point, for the labels.
        moving: whether an animation is wanted.
    """
    labels = [f"{point.setting:g}" for point in points]
    dicts = [dataclasses.asdict(point) | {"setting": label} for point, label in zip(points, labels, strict=True)]
    figures = {"setting": setting, "points": dicts, "anchors": dict(anchors)}
    if moving:
        columns = 4
        frames = tuple(
            sample_grid(images, columns, column_labels=[label, *[""] * (columns - 1)], background=GREY)
            for images, label in zip(rows, labels, strict=True)
        )
        return Exhibit(frames, tuple(range(len(frames))), figures)
    sheet = sample_grid(torch.cat(list(rows)), len(rows[0]), row_labels=labels, background=GREY)
    return Exhibit((_stacked(_chart(points, anchors, setting), sheet),), figures=figures)


def _chart(points: Sequence[CurvePoint], anchors: Mapping[str, float], setting: str) -> Image.Image:
    with styled():
        figure = new_figure(CHART_INCHES)
        left, right = figure.subplots(1, 2)
        labels = [f"{point.setting:g}" for point in points]
        bounded = all(math.isfinite(point.setting) for point in points)
        at = [point.setting for point in points] if bounded else [float(index) for index in range(len(points))]
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
            if not bounded:  # infinity has no place on an axis: the points stand side by side
                axes.set_xticks(at, labels)
            axes.set_xlabel(f"{setting} (dotted: real images)")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=CHART_DOTS_PER_INCH, metadata={"Software": None})
    return Image.open(buffer).convert("RGB")


def _stacked(upper: Image.Image, lower: Image.Image) -> Image.Image:
    stacked = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), "white")
    stacked.paste(upper, (0, 0))
    stacked.paste(lower, ((stacked.width - lower.width) // 2, upper.height))
    return stacked
