"""Durations as people type them."""

import re

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def seconds_of(text: str) -> float:
    """Seconds in "90s", "20m", "1h30m", or a bare number of seconds.

    Raises:
        ValueError: it is none of these, or nothing is left of it.
    """
    parts = _PART.findall(text)
    if "".join(number + unit for number, unit in parts) == text and parts:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise ValueError(f"{text!r} is not a duration: write 90s, 20m or 1h30m")
    return seconds
