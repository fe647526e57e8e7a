"""Names that nobody had before."""

import secrets
from datetime import UTC, datetime


def unique_name(prefix: str) -> str:
    """The prefix, the day, and a few random letters."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(3)}"
