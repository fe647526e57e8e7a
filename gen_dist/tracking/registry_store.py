"""MLflow's client for the registry, with MLflow's global store set for as long as it is used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from gen_dist.tracking.database import ensure_database
from gen_dist.tracking.location import redact
from gen_dist.tracking.store import short_message

_STORE_VARIABLE = "MLFLOW_TRACKING_URI"
_RETRIES_VARIABLE = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_RETRIES = "3"
"""About 15 seconds; MLflow's own 7 leave people before a silent terminal for four minutes."""


class RegistryError(ValueError):
    """The registry can't do what was asked; the message says why."""


@contextmanager
def registry_client(uri: str) -> Iterator[MlflowClient]:
    """A client of the store at `uri`. Parts of MLflow know only one global store, so it is that one meanwhile.

    Raises:
        RegistryError: for everything that MLflow complains of.
    """
    before = {name: os.environ.get(name) for name in (_STORE_VARIABLE, _RETRIES_VARIABLE)}
    mlflow.set_tracking_uri(uri)
    os.environ.setdefault(_RETRIES_VARIABLE, _RETRIES)
    try:
        ensure_database(uri)
        yield MlflowClient(uri)
    except MlflowException as error:
        raise RegistryError(f"the registry at {redact(uri)}: {short_message(error)}") from error
    finally:
        mlflow.set_tracking_uri(None)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
