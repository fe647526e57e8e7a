"""How long work shows that it is alive: a bar on a terminal, a line every few seconds otherwise."""

import sys
import time
from collections.abc import Generator, Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
SECONDS_PER_LINE = 5.0


def track(items: Iterable[T], description: str, total: int) -> Generator[T, None, None]:
    """The same items, with progress on stderr while they are consumed; closing the generator takes the bar away."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            yield from progress.track(items, total=total, description=description)
        return
    last = time.monotonic()
    for done, item in enumerate(items):
        yield item
        if time.monotonic() - last >= SECONDS_PER_LINE:
            last = time.monotonic()
            print(f"{description}: {done + 1}/{total}", file=sys.stderr, flush=True)
