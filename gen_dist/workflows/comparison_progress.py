"""A comparison while it runs: a bar on a terminal, a line for each run that ends."""

from collections.abc import Sequence
from types import TracebackType
from typing import final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from gen_dist.workflows.comparison import Entrant, Entry
from gen_dist.workflows.comparison_standings import Standing, sampling_rate, training_rate

_UNITS = (("bits_per_dimension", "bits/dim"), ("nats", "nats"), ("frechet_distance", "Fréchet"))


@final
class ComparisonProgress:
    """Shows which runs are done."""

    def __init__(self, entrants: Sequence[Entrant], console: Console) -> None:
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
        several = any(entrant.seed is not None for entrant in entrants)
        what = "runs (presets with each seed)" if several else "presets"
        self._task = self._bar.add_task(f"{what} trained and judged", total=len(entrants))

    def __enter__(self) -> "ComparisonProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def ended(self, entry: Entry) -> None:
        """Say what came of a run."""
        self._bar.advance(self._task)
        self._console.print(describe(entry), highlight=False, soft_wrap=True)


def describe(entry: Entry) -> str:
    """One entry in one line."""
    if entry.error is not None:
        return f"{entry.entrant.title}: {entry.state}, {entry.error}"
    how = f"{entry.images:,} images in {entry.training_seconds:.0f} s"
    return f"{entry.entrant.title}: {', '.join([*(f'{figure} {unit}' for figure, unit in _figures(entry)), how])}"


def summary(ordered: Sequence[Standing]) -> Table:
    """The table for a terminal: the figures that fit. Several seeds are shown by means and deviations."""
    several = any(standing.num_seeds > 1 for standing in ordered)
    table = Table("preset", *(["finished"] if several else []), "likelihood", "Fréchet", "parameters", "images")
    for title in [*(["updates"] if several else []), "trained/s", "drawn/s"]:
        table.add_column(title)
    for standing in ordered:
        share = [standing.share] if several else []
        if not standing.finished:
            last = standing.entries[-1]
            table.add_row(standing.preset, *share, f"{last.state}: {last.error}")
            continue
        figures = {unit: spread.text(".4g") for name, unit in _UNITS if (spread := standing.figure(name)) is not None}
        likelihood = next((f"{figures[unit]} {unit}" for unit in ("bits/dim", "nats") if unit in figures), "")
        updates = [_number(standing.mean(lambda entry: entry.updates))] if several else []
        table.add_row(
            standing.preset,
            *share,
            likelihood,
            figures.get("Fréchet", ""),
            _number(standing.mean(lambda entry: entry.parameters)),
            _number(standing.mean(lambda entry: entry.images)),
            *updates,
            _number(standing.mean(training_rate)),
            _number(standing.mean(sampling_rate), ",.1f"),
        )
    return table


def _number(value: float | None, how: str = ",.0f") -> str:
    return "" if value is None else f"{value:{how}}"


def _figures(entry: Entry) -> list[tuple[str, str]]:
    """Figures with their units."""
    metrics: dict[str, float] = {} if entry.record is None else entry.record.metrics
    return [(f"{metrics[name]:.4g}", unit) for name, unit in _UNITS if name in metrics]
