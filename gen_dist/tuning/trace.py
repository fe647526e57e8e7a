"""What a run reported over time, and plain questions about it.

A trace is one row per report: "round", "samples_seen", "seconds", "updates/<player>", then averaged metrics
"<phase>/<metric>" and "gradient_norm/<player>". Evaluations are rows of their own: "samples_seen" and metric names.
"""

import math
from collections.abc import Mapping, Sequence

Row = Mapping[str, float]
Trace = Sequence[Row]

MAX_STORED_ROWS = 240
"""Rows of a thinned trace: more than a figure of this width can show."""


def series(rows: Trace, name: str) -> tuple[float, ...]:
    """All values of one column, in order; rows without it are left out."""
    return tuple(row[name] for row in rows if name in row)


def points(rows: Trace, name: str) -> tuple[tuple[float, float], ...]:
    """(samples_seen, value) of one column; rows without it are left out."""
    return tuple((row["samples_seen"], row[name]) for row in rows if name in row)


def last_part(values: Sequence[float], share: float) -> tuple[float, ...]:
    """The last `share` of the values, at least one when there are any."""
    count = max(1, math.ceil(len(values) * share))
    return tuple(values[-count:])


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; not a number when there are no values."""
    return math.fsum(values) / len(values) if values else math.nan


def recent(rows: Trace, name: str, share: float) -> float | None:
    """Mean of a column over the last `share` of its rows, or None without any."""
    values = series(rows, name)
    return mean(last_part(values, share)) if values else None


def first_non_finite(rows: Trace) -> tuple[str, Row] | None:
    """The first column that is not finite, with its row."""
    for row in rows:
        for name, value in row.items():
            if not math.isfinite(value):
                return name, row
    return None


def thin(rows: Trace, most: int = MAX_STORED_ROWS) -> tuple[dict[str, float], ...]:
    """At most `most` rows, evenly spread, the first and the last among them; values stay as they were reported."""
    if most < 2:
        raise ValueError(f"most is {most}: a trace keeps its first and its last row")
    if len(rows) <= most:
        return tuple(dict(row) for row in rows)
    last = len(rows) - 1
    chosen = sorted({round(position * last / (most - 1)) for position in range(most)})
    return tuple(dict(rows[index]) for index in chosen)
