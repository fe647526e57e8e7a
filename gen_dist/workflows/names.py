"""Names that nobody had before, and names that mean nothing but themselves."""

import re
import secrets
from datetime import UTC, datetime

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")


def unique_name(prefix: str) -> str:
    """The prefix, the day, and a few random letters."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(3)}"


def checked_name(kind: str, name: str) -> str:
    """The name of a run, a study or a comparison: it becomes a folder's, and must not lead elsewhere.

    Raises:
        ValueError: it holds other characters, or too many.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{kind} name {name!r}: use letters, digits, '.', '_' and '-', starting with a letter or digit, at most 100"
        )
    return name


def checked_model_name(name: str) -> str:
    """The name of a registered model, which becomes a part of URIs and of queries.

    Raises:
        ValueError: it holds other characters, or too many.
    """
    if not _MODEL_NAME.fullmatch(name):
        raise ValueError(
            f"model name {name!r}: use letters, digits, spaces, '.', '_' and '-', starting with a letter or digit, at "
            "most 100"
        )
    return name


def model_name_of(data: str) -> str:
    """What the winner on a dataset is called in the registry: gen-dist-digits for .../digits."""
    return f"gen-dist-{_FOREIGN.sub('-', data.rstrip('/').rsplit('/', 1)[-1])}"[:100]
