"""What a preset is."""

from collections.abc import Callable
from dataclasses import dataclass

from gen_dist.config import RunConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A named, complete run configuration.

    Attributes:
        name: what `gen-dist train NAME` takes.
        summary: one line for people: what it trains, on what, in about what time.
        build: returns the configuration.
    """

    name: str
    summary: str
    build: Callable[[], RunConfig]
