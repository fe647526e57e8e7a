"""`gen-dist deliver`: bring MLflow what it missed."""

from pathlib import Path
from typing import Annotated

import tyro

from gen_dist.tracking.mlflow_tracker import deliver_spool


def deliver(folder: Annotated[Path, tyro.conf.Positional], /, *, tracking_uri: str | None = None) -> None:
    """Deliver to MLflow what runs have logged while it could not be reached.

    A run that is started again does this by itself; this is for runs that are over.

    Examples:
        gen-dist deliver runs/digits-1
        gen-dist deliver runs --tracking-uri http://tracking:5000

    Args:
        folder: a run's folder, or a folder of runs.
        tracking_uri: MLflow's store; MLFLOW_TRACKING_URI or the one that the run was started with by default.

    Raises:
        ConnectionError: something is still left; the message says what.
    """
    backlogs = deliver_spool(folder, tracking_uri)
    left = [backlog for backlog in backlogs if backlog.num_waiting]
    for backlog in backlogs:
        if not backlog.num_waiting:
            print(f"{backlog.folder}: {backlog}")
    if left:
        raise ConnectionError("\n".join(str(backlog) for backlog in left))
