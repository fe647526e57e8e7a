"""A local MLflow database, whole from the first moment that anybody sees it."""

import fcntl
import tempfile
from pathlib import Path

from mlflow.tracking import MlflowClient

from gen_dist.tracking.location import SQLITE, sqlite_file


def ensure_database(uri: str) -> None:
    """Make the file of an sqlite store if it is missing; nothing for any other store.

    MLflow makes its tables one migration after the other, for seconds and without a lock: two processes that start at
    once, or one that is killed, leave a file that no later one can use. So it is made aside and moved into place.
    """
    path = sqlite_file(uri)
    if path is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return  # another process was faster
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            unfinished = Path(folder) / path.name
            MlflowClient(f"{SQLITE}{unfinished}").search_experiments(max_results=1)
            unfinished.replace(path)
