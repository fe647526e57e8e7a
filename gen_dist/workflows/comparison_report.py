"""What a comparison leaves for people and programs: a table (Markdown, Parquet) and one page of samples."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from gen_dist.data.storage import Storage
from gen_dist.data.tables import Cell, write_table
from gen_dist.evaluation.class_accuracy import CLASS_ACCURACY
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.models.table import family_of
from gen_dist.presets import preset
from gen_dist.sampling.grids import sample_grid
from gen_dist.workflows.comparison import Comparison, Entry, read_samples
from gen_dist.workflows.comparison_standings import Standing, sampling_rate, standings, training_rate

MARKDOWN = "comparison.md"
PARQUET = "comparison.parquet"
SHEET = "samples.png"
ANCHORS = {
    "real": "real images",
    "gaussian": "Gaussian fitted to the pixels",
    "untranslated": "sources, untranslated",
}

_CELL_PIXELS = 40  # about the side of one sample on the page

# Title of a column, what it shows, and the format of its numbers; some figures only where a model has them.
_FIGURES = (
    ("Fréchet distance", "frechet_distance", ".3f"),
    ("kernel distance", "kernel_distance", ".4f"),
    ("precision", "precision", ".2f"),
    ("recall", "recall", ".2f"),
    ("diversity", "diversity", ".2f"),
)
_OCCASIONAL_FIGURES = (
    ("class accuracy", CLASS_ACCURACY, ".3f"),
    ("L1", "l1", ".2f"),
    ("PSNR", "psnr", ".2f"),
    ("SSIM", "ssim", ".3f"),
)
_LIKELIHOODS = (("bits/dim", "bits_per_dimension", ".3f"), ("nats", "nats", ".1f"))
_Figures = Sequence[tuple[str, str, str]]
_OVER_SEEDS = (
    "Figures are means over the runs that finished, ± their sample standard deviation over the seeds (not the standard "
    "error over images). *finished* counts these runs, of all; images, updates and the rest are means per run."
)


@final
@dataclass(frozen=True, slots=True)
class Report:
    """The presets in the order of the table, the table as Markdown, and the page of samples if any model draws."""

    standings: Sequence[Standing]
    text: str
    sheet: Image.Image | None


def write_report(folder: Storage, comparison: Comparison, entries: Sequence[Entry]) -> Report:
    """Write all files below the comparison's folder."""
    ordered = standings(comparison, entries)
    text, sheet = markdown(comparison, ordered), _sheet(folder, ordered)
    folder.write_bytes(MARKDOWN, text.encode())
    write_table(folder, PARQUET, [row(comparison, entry) for standing in ordered for entry in standing.entries])
    if sheet is not None:
        buffer = io.BytesIO()
        sheet.save(buffer, format="PNG")
        folder.write_bytes(SHEET, buffer.getvalue())
    return Report(ordered, text, sheet)


def row(comparison: Comparison, entry: Entry) -> dict[str, Cell]:
    """One run as columns for programs."""
    record, family = entry.record, family_of(preset(entry.preset).model)
    figures: dict[str, float] = {} if record is None else dict(record.metrics)
    return {
        "preset": entry.preset,
        "seed": comparison.seed if entry.seed is None else entry.seed,
        "family": family.name,
        "kind": family.kind,
        "state": entry.state,
        "error": entry.error,
        "parameters": entry.parameters,
        "images": entry.images,
        "selected_images": entry.selected_images,
        "updates": entry.updates,
        "training_seconds": entry.training_seconds,
        "training_images_per_second": training_rate(entry),
        "sampling_images_per_second": sampling_rate(entry),
        "likelihood_kind": None if record is None else record.likelihood_kind,
        **figures,
        "device": entry.device,
        "threads": entry.threads,
        "protocol": None if record is None else record.protocol.comparable(),
        "bundle": entry.bundle,
    }


def markdown(comparison: Comparison, ordered: Sequence[Standing]) -> str:
    """The table for people: ordered by likelihood within what is modelled, failures last."""
    entries = [entry for standing in ordered for entry in standing.entries]
    records = [entry.record for entry in entries if entry.record is not None]
    occasional = [figure for figure in _OCCASIONAL_FIGURES if any(figure[1] in record.metrics for record in records)]
    shown, several = [*_FIGURES, *occasional], comparison.num_seeds > 1
    titles = ["preset", *(["finished"] if several else []), *(title for title, _, _ in _LIKELIHOODS), "likelihood"]
    titles += [title for title, _, _ in shown]
    titles += ["parameters", "images", *(["updates"] if several else []), "best at"]
    titles += ["training s", "training images/s", "sampling images/s"]
    rows = [_means(standing, shown) if several else _cells(standing.entries[0], shown) for standing in ordered]
    anchored = next((record for record in records if record.anchors), None)
    if anchored is not None:
        known = {name: value for record in reversed(records) for name, value in record.anchors.items()}
        measured = {anchor for anchor in ANCHORS if any(name.endswith(f"_{anchor}") for name in known)}
        rows += [_anchor_cells(known, anchor, title, shown) for anchor, title in ANCHORS.items() if anchor in measured]
    lines = [
        _line(titles),
        _line(["---"] * len(titles)),
        *(_line([row.get(title, "") for title in titles]) for row in rows),
    ]
    heading = [_heading(comparison, anchored), "", *([_OVER_SEEDS, ""] if several else [])]
    return "\n".join([*heading, *lines, *_failures(entries), *_notes(entries), ""])


def _cells(entry: Entry, shown: _Figures) -> dict[str, str]:
    """What the only run of a preset shows under each title."""
    record = entry.record
    metrics: dict[str, float] = {} if record is None else record.metrics
    return {
        "preset": entry.preset,
        **{title: _with_error(metrics, name, how) for title, name, how in _LIKELIHOODS},
        "likelihood": "" if record is None or record.likelihood_kind is None else record.likelihood_kind,
        **{title: _number(metrics.get(name), how) for title, name, how in shown},
        "parameters": f"{entry.parameters:,}" if entry.parameters else "",
        "images": f"{entry.images:,}",
        "best at": "" if entry.selected_images is None else f"{entry.selected_images:,}",
        "training s": _number(entry.training_seconds or None, ",.0f"),
        "training images/s": _number(training_rate(entry), ",.0f"),
        "sampling images/s": _number(sampling_rate(entry), ",.1f"),
    }


def _means(standing: Standing, shown: _Figures) -> dict[str, str]:
    """What several runs of a preset show under each title."""
    figures = {title: (standing.figure(name), how) for title, name, how in [*_LIKELIHOODS, *shown]}
    return {
        "preset": standing.preset,
        "finished": standing.share,
        **{title: "" if figure is None else figure.text(how) for title, (figure, how) in figures.items()},
        "likelihood": standing.likelihood_kind,
        "parameters": _number(standing.mean(lambda entry: entry.parameters or None), ",.0f"),
        "images": _number(standing.mean(lambda entry: entry.images), ",.0f"),
        "updates": _number(standing.mean(lambda entry: entry.updates), ",.0f"),
        "best at": _number(standing.mean(lambda entry: entry.selected_images), ",.0f"),
        "training s": _number(standing.mean(lambda entry: entry.training_seconds or None), ",.0f"),
        "training images/s": _number(standing.mean(training_rate), ",.0f"),
        "sampling images/s": _number(standing.mean(sampling_rate), ",.1f"),
    }


def _anchor_cells(known: Mapping[str, float], anchor: str, title: str, shown: _Figures) -> dict[str, str]:
    figures = {column: _number(known.get(f"{name}_{anchor}"), how) for column, name, how in shown}
    return {"preset": f"*{title}*", **figures}


def _heading(comparison: Comparison, record: EvaluationRecord | None) -> str:
    budget = (
        f"{comparison.budget_seconds:g} seconds of training each"
        if comparison.budget_seconds is not None
        else f"{comparison.budget_images:,} training images each"
    )
    budget += f" and at most {comparison.max_epochs:g} passes over the data"
    first, last = comparison.seeds[0], comparison.seeds[-1]
    seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
    parts = [f"{comparison.data.rstrip('/').rsplit('/', 1)[-1]}, {budget}, {seeds}"]
    if record is not None:
        protocol = record.protocol
        parts.append(
            f"{protocol.num_samples:,} samples against {protocol.num_reference:,} images of the {protocol.split} "
            f"split, features {protocol.extractor} {protocol.extractor_digest[:8]}"
        )
    return "; ".join(parts) + "."


def _failures(entries: Sequence[Entry]) -> list[str]:
    failed = [entry for entry in entries if entry.error is not None]
    return ["", *(f"- {entry.entrant.title} {entry.state}: {entry.error}" for entry in failed)] if failed else []


def _notes(entries: Sequence[Entry]) -> list[str]:
    records = [(entry.preset, entry.record) for entry in entries if entry.record is not None]
    notes = dict.fromkeys(f"- {name}: {note}" for name, record in records for note in record.notes)
    return ["", *notes] if notes else []


def _sheet(folder: Storage, ordered: Sequence[Standing]) -> Image.Image | None:
    """Each preset's samples in a row, magnified, with its name: those of the first seed that has any."""
    rows = {standing.preset: _samples(folder, standing) for standing in ordered}
    drawn = {name: images for name, images in rows.items() if images is not None}
    if not drawn:
        return None
    columns = min(len(images) for images in drawn.values())
    images = torch.cat([images[:columns] for images in drawn.values()])
    scale = max(1, _CELL_PIXELS // max(images.shape[2:]))
    return sample_grid(images, columns=columns, scale=scale, row_labels=list(drawn))


def _samples(folder: Storage, standing: Standing) -> UInt8[Tensor, "n c h w"] | None:
    kept = (read_samples(folder, entry.entrant.name) for entry in standing.entries)
    return next((images for images in kept if images is not None), None)


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
