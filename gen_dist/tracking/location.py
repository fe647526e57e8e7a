"""Where MLflow's store is, and how to speak of it without giving a password away."""

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

SQLITE = "sqlite:///"
DATABASE_NAME = "mlflow.db"
ARTIFACT_FOLDER = "mlartifacts"


def store_uri(given: str | None = None) -> str:
    """The tracking store: the given one, else `MLFLOW_TRACKING_URI`, else `mlflow.db` in the working folder.

    The last is MLflow's own default, so `mlflow ui` started in the same folder shows the same runs. The path of an
    sqlite file is made absolute, because workers run in folders of their own.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or SQLITE + DATABASE_NAME
    path = sqlite_file(uri)
    return uri if path is None else f"{SQLITE}{path.absolute()}"


def sqlite_file(uri: str) -> Path | None:
    """The file of an sqlite store, or None for any other store."""
    return Path(unquote(uri.removeprefix(SQLITE))) if uri.startswith(SQLITE) else None


def artifact_location(uri: str, experiment: str) -> str | None:
    """Where an experiment of a local store keeps its files, beside the database; None where the server decides."""
    path = sqlite_file(uri)
    return None if path is None else (path.absolute().parent / ARTIFACT_FOLDER / folder_name(experiment)).as_uri()


def folder_name(text: str) -> str:
    """One folder's name for an experiment's or a run's: "../elsewhere" and "/elsewhere" stay inside."""
    return quote(text, safe=" ") if text.strip(".") else text.replace(".", "%2E")


def redact(uri: str) -> str:
    """The URI without user name and password."""
    parts = urlsplit(uri)
    _, found, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)) if found else uri
