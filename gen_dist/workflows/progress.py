"""What a person watching a run sees: one live line in a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Callable
from typing import final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gen_dist.training.training import Row

_PLAIN_EVERY_SECONDS = 10.0


@final
class RunProgress:
    """Shows rounds and images per second, losses, the latest figure of merit, and the time that is left.

    Args:
        name: of the run.
        images: at which it ends.
        console: where to write.
        clock: seconds; plain lines are spaced by it.
    """

    def __init__(
        self, name: str, images: int, console: Console, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._images, self._console, self._clock = name, images, console, clock
        self._last_row: Row | None = None
        self._last_plain = -_PLAIN_EVERY_SECONDS
        self._figures = ""
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(name, total=images, facts="")

    def __enter__(self) -> "RunProgress":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def report(self, row: Row) -> None:
        """A new row of the history."""
        facts = self._facts(row)
        self._last_row = row
        if self._console.is_terminal:
            self._bar.update(self._task, completed=row["samples_seen"], facts=facts)
            return
        now = self._clock()
        if now - self._last_plain >= _PLAIN_EVERY_SECONDS or row["samples_seen"] >= self._images:
            self._last_plain = now
            share = min(1.0, row["samples_seen"] / self._images)
            self._console.print(f"{self._name} {share:4.0%} {facts}", highlight=False, soft_wrap=True)

    def evaluation(self, row: Row) -> None:
        """New figures of merit; they stay in the line until the next ones."""
        shown = ("frechet_distance", "bits_per_dimension", "nats", "accuracy")
        self._figures = "  ".join(f"{name} {row[name]:.4g}" for name in shown if name in row)
        if self._figures:
            images = f"{row['samples_seen']:,.0f} images"
            self._console.print(f"{self._name} after {images}: {self._figures}", highlight=False, soft_wrap=True)

    def _facts(self, row: Row) -> str:
        last = self._last_row or {"seconds": 0.0, "round": 0.0, "samples_seen": 0.0}
        seconds = max(row["seconds"] - last["seconds"], 1e-9)
        if row["seconds"] < last["seconds"] or row["round"] <= last["round"]:
            return self._figures
        speed = (
            f"{(row['round'] - last['round']) / seconds:.3g} rounds/s  "
            f"{(row['samples_seen'] - last['samples_seen']) / seconds:,.0f} images/s"
        )
        losses = "  ".join(f"{name} {value:.3g}" for name, value in row.items() if name.endswith("/loss"))
        return "  ".join(part for part in (speed, losses, self._figures) if part)
