"""What a check is asked, and what it answers: one line."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import final

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "RAY_AUTH_TOKEN",
)
_IN_URI = re.compile(r"//[^/@\s]+@")


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


def one_line(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text in one line and without anything secret that this process knows, however it came there."""
    known = os.environ if environment is None else environment
    text = _IN_URI.sub("//", " ".join(text.split()))
    for secret in {known.get(name, "") for name in SECRETS} | {_token_in(known)}:
        if secret:
            text = text.replace(secret, "***")
    return text


def _token_in(environment: Mapping[str, str]) -> str:
    path = environment.get("RAY_AUTH_TOKEN_PATH")
    try:
        return Path(path).read_text().strip() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""
