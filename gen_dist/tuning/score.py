"""The one number that a search minimises."""

import math
from collections.abc import Mapping, Sequence

from gen_dist.tuning.trace import series

WORST_SCORE = 1e6
"""Score of a trial that diverged or could not be evaluated: finite, so that searchers can rank it, and far above any
distance that an evaluation returns (features are of order 1; the distance of pure noise is below a thousand)."""

SWING_WEIGHT = 1.0
"""How many standard deviations of the last evaluations are added to their mean."""

MOST_TAIL = 5
"""Evaluations that count as "the last ones", at the most: older ones say how it learned, not whether it is stable."""


def stability_score(
    evaluations: Sequence[Mapping[str, float]], *, diverged: bool = False, metric: str = "frechet_distance"
) -> float:
    """Distance of the trial's last evaluations, plus how much they swing; lower is better.

    The tail is the last third of the evaluations (at least one, at most `MOST_TAIL`). The score is the mean of the
    tail plus `SWING_WEIGHT` times how far it swings around its own straight line, as a root mean square: a run
    that still improves steadily does not swing. One evaluation is its own score. It is never the best distance that
    was ever passed through: a run that touches a good distance and leaves it again is not stable.

    Args:
        evaluations: rows in the order in which they were made.
        diverged: the run met a value that was not finite.
        metric: which column, one where lower is better.

    Returns:
        A finite number; `WORST_SCORE` for a diverged trial, and for one without a finite evaluation at its end.
    """
    if diverged:
        return WORST_SCORE
    values = series(evaluations, metric)
    tail = tail_of(values)
    if not tail or not all(math.isfinite(value) for value in tail):
        return WORST_SCORE
    return min(WORST_SCORE, math.fsum(tail) / len(tail) + SWING_WEIGHT * swing(tail))


def tail_of(values: Sequence[float]) -> tuple[float, ...]:
    """The last third of the values, at least one and at most `MOST_TAIL`; empty when there are none."""
    count = min(MOST_TAIL, max(1, math.ceil(len(values) / 3)))
    return tuple(values[-count:])


def swing(values: Sequence[float]) -> float:
    """Root mean square of the residuals around the least-squares line; 0 for fewer than three values."""
    num = len(values)
    if num < 3:
        return 0.0
    positions = [index - (num - 1) / 2 for index in range(num)]
    centre = math.fsum(values) / num
    slope = math.fsum(p * v for p, v in zip(positions, values, strict=True)) / math.fsum(p * p for p in positions)
    residuals = [value - centre - slope * position for position, value in zip(positions, values, strict=True)]
    return math.sqrt(math.fsum(r * r for r in residuals) / num)
