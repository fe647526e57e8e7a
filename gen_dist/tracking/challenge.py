"""Who is champion: a newcomer must beat the current one by more than the luck of a seed explains."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Literal

from scipy import stats

Alias = Literal["champion", "challenger"]
CHAMPION: Alias = "champion"
CHALLENGER: Alias = "challenger"
SIGNIFICANCE = 0.05
"""Risk of crowning a newcomer that is only as good as the champion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """How good a model is, as far as its place in the registry depends on it.

    Attributes:
        protocol: text that says how it was judged; only equal texts compare. JSON objects are compared by field.
        frechet_distances: one per training seed, lower is better.
    """

    protocol: str
    frechet_distances: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.frechet_distances:
            raise ValueError("frechet_distances is empty: give the Fréchet distance of at least one seed")

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.frechet_distances)

    @property
    def is_finite(self) -> bool:
        """Whether every seed gave a number."""
        return all(math.isfinite(distance) for distance in self.frechet_distances)

    def __str__(self) -> str:
        count = len(self.frechet_distances)
        spread = f" ± {math.sqrt(variance(self.frechet_distances)):.4g}" if count > 1 else ""
        return f"{self.mean:.4g}{spread} ({count} seed{'s' if count > 1 else ''})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Which alias a newcomer gets, and why."""

    alias: Alias
    reason: str


def challenge(newcomer: Judgement, champion: Judgement | None) -> Decision:
    """Compare by a one-sided Student test on the Fréchet distances of the seeds, at 5 %.

    Both are taken to spread alike over seeds, so that one of them may have a single seed.
    """
    if not newcomer.is_finite:
        return Decision(alias=CHALLENGER, reason="its Fréchet distance is not finite")
    if champion is None:
        return Decision(alias=CHAMPION, reason=f"the first version: Fréchet distance {newcomer}")
    if newcomer.protocol != champion.protocol:
        difference = protocol_difference(newcomer.protocol, champion.protocol)
        return Decision(alias=CHALLENGER, reason=f"judged under another protocol than the champion: {difference}")
    if not champion.is_finite:
        return Decision(alias=CHAMPION, reason=f"Fréchet distance {newcomer}; the champion's is not finite")
    return _compare(newcomer, champion)


def _compare(newcomer: Judgement, champion: Judgement) -> Decision:
    gain = champion.mean - newcomer.mean
    figures = f"Fréchet distance {newcomer} against the champion's {champion}"
    if gain <= 0.0:
        return Decision(alias=CHALLENGER, reason=f"no better: {figures}")
    freedom = len(newcomer.frechet_distances) + len(champion.frechet_distances) - 2
    if freedom < 1:
        advice = "train more seeds, or promote it by hand"
        return Decision(alias=CHALLENGER, reason=f"one seed each tells nothing of seed noise: {figures}; {advice}")
    margin = float(stats.t.ppf(1.0 - SIGNIFICANCE, freedom)) * _standard_error(newcomer, champion, freedom)
    if gain > margin:
        return Decision(alias=CHAMPION, reason=f"better by {gain:.4g}, beyond seed noise ({margin:.4g}): {figures}")
    return Decision(alias=CHALLENGER, reason=f"better by {gain:.4g}, within seed noise ({margin:.4g}): {figures}")


def _standard_error(newcomer: Judgement, champion: Judgement, freedom: int) -> float:
    """Of the difference of the means, with the variance pooled over both."""
    sides = (newcomer.frechet_distances, champion.frechet_distances)
    squares = sum(variance(side) * (len(side) - 1) for side in sides if len(side) > 1)
    return math.sqrt(squares / freedom * sum(1.0 / len(side) for side in sides))


def protocol_difference(newcomer: str, champion: str) -> str:
    """In what two protocols differ, in words."""
    new, old = _fields(newcomer), _fields(champion)
    if new is None or old is None:
        return f"{newcomer!r} is not {champion!r}"
    names = sorted(name for name in new.keys() | old.keys() if new.get(name) != old.get(name))
    return (
        ", ".join(f"{name} is {new.get(name)!r} and was {old.get(name)!r}" for name in names) or "written differently"
    )


def _fields(protocol: str) -> Mapping[str, object] | None:
    try:
        value = json.loads(protocol)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
