"""What must never be shown: found in texts, and taken out of them."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "RAY_AUTH_TOKEN",
)
TOKEN_PATH_VARIABLE = "RAY_AUTH_TOKEN_PATH"  # noqa: S105  a name
_IN_URI = re.compile(r"//[^/@\s]+@")


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without anything secret that this process knows, however it came there."""
    text = _IN_URI.sub("//", text)
    for secret in _known(os.environ if environment is None else environment):
        text = text.replace(secret, "***")
    return text


def has_secret(text: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether `without_secrets` would change it."""
    return without_secrets(text, environment) != text


def _known(environment: Mapping[str, str]) -> set[str]:
    secrets = {environment.get(name, "") for name in VARIABLES}
    path = environment.get(TOKEN_PATH_VARIABLE)
    with suppress(OSError, UnicodeDecodeError):  # whoever needs the token says what is wrong with its file
        secrets.add(Path(path).read_text().strip() if path else "")
    return secrets - {""}
