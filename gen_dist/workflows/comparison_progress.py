"""A comparison while it runs: a bar on a terminal, a line for each preset that ends."""

from collections.abc import Sequence
from types import TracebackType
from typing import final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from gen_dist.workflows.comparison import Entry


@final
class ComparisonProgress:
    """Shows which presets are done."""

    def __init__(self, names: Sequence[str], console: Console) -> None:
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("presets trained and judged", total=len(names))

    def __enter__(self) -> "ComparisonProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def ended(self, entry: Entry) -> None:
        """Say what came of a preset."""
        self._bar.advance(self._task)
        self._console.print(describe(entry), highlight=False, soft_wrap=True)


def describe(entry: Entry) -> str:
    """One entry in one line."""
    if entry.error is not None:
        return f"{entry.preset}: {entry.state}, {entry.error}"
    how = f"{entry.images:,} images in {entry.training_seconds:.0f} s"
    return f"{entry.preset}: {', '.join([*(f'{figure} {unit}' for figure, unit in _figures(entry)), how])}"


def summary(entries: Sequence[Entry]) -> Table:
    """The table for a terminal: the figures that fit."""
    table = Table("preset", "likelihood", "Fréchet", "parameters", "images", "trained/s", "drawn/s")
    for entry in entries:
        if entry.error is not None:
            table.add_row(entry.preset, f"{entry.state}: {entry.error}")
            continue
        figures = {unit: figure for figure, unit in _figures(entry)}
        likelihood = next((f"{figures[unit]} {unit}" for unit in ("bits/dim", "nats") if unit in figures), "")
        table.add_row(
            entry.preset,
            likelihood,
            figures.get("Fréchet", ""),
            f"{entry.parameters:,}",
            f"{entry.images:,}",
            f"{entry.images / entry.training_seconds:,.0f}" if entry.training_seconds else "",
            f"{entry.sampled / entry.sampling_seconds:,.1f}" if entry.sampling_seconds else "",
        )
    return table


def _figures(entry: Entry) -> list[tuple[str, str]]:
    """Figures with their units."""
    metrics: dict[str, float] = {} if entry.record is None else entry.record.metrics
    units = (("bits_per_dimension", "bits/dim"), ("nats", "nats"), ("frechet_distance", "Fréchet"))
    return [(f"{metrics[name]:.4g}", unit) for name, unit in units if name in metrics]
