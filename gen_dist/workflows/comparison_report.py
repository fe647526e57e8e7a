"""What a comparison leaves for people and programs: a table (Markdown, Parquet) and one page of samples."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from PIL import Image

from gen_dist.data.storage import Storage
from gen_dist.data.tables import Cell, write_table
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.models.table import family_of
from gen_dist.presets import preset
from gen_dist.sampling.grids import sample_grid
from gen_dist.workflows.comparison import Comparison, Entry, read_samples

MARKDOWN = "comparison.md"
PARQUET = "comparison.parquet"
SHEET = "samples.png"
ANCHORS = {"real": "real images", "gaussian": "Gaussian fitted to the pixels"}

_CELL_PIXELS = 40  # about the side of one sample on the page

# Title of a column, what it shows, and the format of its numbers; figures of pairs only where there are any.
_FIGURES = (
    ("Fréchet distance", "frechet_distance", ".3f"),
    ("kernel distance", "kernel_distance", ".4f"),
    ("precision", "precision", ".2f"),
    ("recall", "recall", ".2f"),
    ("diversity", "diversity", ".2f"),
)
_PAIR_FIGURES = (("L1", "l1", ".2f"), ("PSNR", "psnr", ".2f"), ("SSIM", "ssim", ".3f"))


@final
@dataclass(frozen=True, slots=True)
class Report:
    """The entries in the order of the table, the table as Markdown, and the page of samples if any model draws."""

    entries: Sequence[Entry]
    text: str
    sheet: Image.Image | None


def write_report(folder: Storage, comparison: Comparison, entries: Sequence[Entry]) -> Report:
    """Write all files below the comparison's folder."""
    ordered = sorted(entries, key=_rank)
    text, sheet = markdown(comparison, ordered), _sheet(folder, ordered)
    folder.write_bytes(MARKDOWN, text.encode())
    write_table(folder, PARQUET, [row(entry) for entry in ordered])
    if sheet is not None:
        buffer = io.BytesIO()
        sheet.save(buffer, format="PNG")
        folder.write_bytes(SHEET, buffer.getvalue())
    return Report(ordered, text, sheet)


def row(entry: Entry) -> dict[str, Cell]:
    """One entry as columns for programs."""
    record, family = entry.record, family_of(preset(entry.preset).model)
    figures: dict[str, float] = {} if record is None else dict(record.metrics)
    return {
        "preset": entry.preset,
        "family": family.name,
        "kind": family.kind,
        "state": entry.state,
        "error": entry.error,
        "parameters": entry.parameters,
        "images": entry.images,
        "selected_images": entry.selected_images,
        "updates": entry.updates,
        "training_seconds": entry.training_seconds,
        "training_images_per_second": _rate(entry.images, entry.training_seconds),
        "sampling_images_per_second": _rate(entry.sampled, entry.sampling_seconds),
        "likelihood_kind": None if record is None else record.likelihood_kind,
        **figures,
        "device": entry.device,
        "threads": entry.threads,
        "protocol": None if record is None else record.protocol.comparable(),
        "bundle": entry.bundle,
    }


def markdown(comparison: Comparison, entries: Sequence[Entry]) -> str:
    """The table for people: ordered by likelihood within what is modelled, failures last."""
    paired = any(entry.record is not None and "l1" in entry.record.metrics for entry in entries)
    shown = _FIGURES + _PAIR_FIGURES if paired else _FIGURES
    titles = ["preset", "bits/dim", "nats", "likelihood", *(title for title, _, _ in shown)]
    titles += ["parameters", "images", "best at", "training s", "training images/s", "sampling images/s"]
    lines = [_line(titles), _line(["---"] * len(titles))]
    lines += [_line(_cells(entry, shown)) for entry in entries]
    record = next((entry.record for entry in entries if entry.record is not None and entry.record.anchors), None)
    for anchor, title in ANCHORS.items() if record is not None else ():
        assert record is not None
        figures = [_number(record.anchors.get(f"{name}_{anchor}"), how) for _, name, how in shown]
        lines.append(_line([f"*{title}*", "", "", "", *figures, "", "", "", "", "", ""]))
    return "\n".join([_heading(comparison, record), "", *lines, *_failures(entries), *_notes(entries), ""])


def _cells(entry: Entry, shown: Sequence[tuple[str, str, str]]) -> list[str]:
    record = entry.record
    metrics: dict[str, float] = {} if record is None else record.metrics
    likelihood = "" if record is None or record.likelihood_kind is None else record.likelihood_kind
    return [
        entry.preset,
        _with_error(metrics, "bits_per_dimension", ".3f"),
        _with_error(metrics, "nats", ".1f"),
        likelihood,
        *(_number(metrics.get(name), how) for _, name, how in shown),
        f"{entry.parameters:,}" if entry.parameters else "",
        f"{entry.images:,}",
        "" if entry.selected_images is None else f"{entry.selected_images:,}",
        _number(entry.training_seconds or None, ",.0f"),
        _number(_rate(entry.images, entry.training_seconds), ",.0f"),
        _number(_rate(entry.sampled, entry.sampling_seconds), ",.1f"),
    ]


def _heading(comparison: Comparison, record: EvaluationRecord | None) -> str:
    budget = (
        f"{comparison.budget_seconds:g} seconds of training each"
        if comparison.budget_seconds is not None
        else f"{comparison.budget_images:,} training images each"
    )
    budget += f" and at most {comparison.max_epochs:g} passes over the data"
    parts = [f"{comparison.data.rstrip('/').rsplit('/', 1)[-1]}, {budget}, seed {comparison.seed}"]
    if record is not None:
        protocol = record.protocol
        parts.append(
            f"{protocol.num_samples:,} samples against {protocol.num_reference:,} images of the {protocol.split} "
            f"split, features {protocol.extractor} {protocol.extractor_digest[:8]}"
        )
    return "; ".join(parts) + "."


def _failures(entries: Sequence[Entry]) -> list[str]:
    failed = [entry for entry in entries if entry.error is not None]
    return ["", *(f"- {entry.preset} {entry.state}: {entry.error}" for entry in failed)] if failed else []


def _notes(entries: Sequence[Entry]) -> list[str]:
    notes = [
        f"- {entry.preset}: {note}" for entry in entries if entry.record is not None for note in entry.record.notes
    ]
    return ["", *notes] if notes else []


def _sheet(folder: Storage, entries: Sequence[Entry]) -> Image.Image | None:
    """Each preset's samples in a row, magnified, with its name."""
    rows = {entry.preset: read_samples(folder, entry.preset) for entry in entries}
    drawn = {name: images for name, images in rows.items() if images is not None}
    if not drawn:
        return None
    columns = min(len(images) for images in drawn.values())
    images = torch.cat([images[:columns] for images in drawn.values()])
    scale = max(1, _CELL_PIXELS // max(images.shape[2:]))
    return sample_grid(images, columns=columns, scale=scale, row_labels=list(drawn))


def _rank(entry: Entry) -> tuple[int, float]:
    """8-bit likelihoods first, then binary ones, then models without, then failures; the best first."""
    metrics: dict[str, float] = {} if entry.record is None else entry.record.metrics
    if entry.state != "finished":
        return 3, 0.0
    if "bits_per_dimension" in metrics:
        return 0, metrics["bits_per_dimension"]
    if "nats" in metrics:
        return 1, metrics["nats"]
    return 2, metrics.get("frechet_distance", float("inf"))


def _rate(count: int, seconds: float | None) -> float | None:
    return count / seconds if count and seconds else None


def _with_error(metrics: dict[str, float], name: str, how: str) -> str:
    if name not in metrics:
        return ""
    # Of a Boltzmann machine, the error of log Z, which all images share, comes on top of the spread over images.
    error = math.hypot(metrics[f"{name}_error"], metrics.get("log_partition_error", 0.0))
    return f"{metrics[name]:{how}} ± {error:{how}}"


def _number(value: float | None, how: str) -> str:
    return "" if value is None else f"{value:{how}}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
