"""What a check is asked, and what it answers: one line."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import final


class Severity(IntEnum):
    """How bad it is. The worst one is the exit code."""

    OK = 0
    WARNING = 1
    ERROR = 2


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        severity: how bad.
        text: what was found, and what to do unless all is well.
    """

    severity: Severity
    text: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is to be checked.

    Attributes:
        data: URI of a dataset or a built-in name, or None.
        storage: folder or s3:// prefix that runs and studies are to be written to, or None.
        tracking_uri: MLflow's store, or None for the usual one.
        clocks: seconds by which servers are ahead of this machine, by name; checks add what they hear.
    """

    data: str | None = None
    storage: str | None = None
    tracking_uri: str | None = None
    clocks: dict[str, float] = field(default_factory=dict)

    def hear_clock(self, server: str, date: datetime | None) -> None:
        """Keep a server's time, which has come just now."""
        if date is not None:
            self.clocks[server] = (date - datetime.now(UTC)).total_seconds()


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(Severity.OK, text)


def warning(text: str) -> Finding:
    """It will work, but not as it should."""
    return Finding(Severity.WARNING, text)


def error(text: str) -> Finding:
    """It will not work."""
    return Finding(Severity.ERROR, text)
