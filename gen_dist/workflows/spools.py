"""Where on this machine a run's history waits until MLflow has it."""

import os
from pathlib import Path

from gen_dist.data.storage import Storage
from gen_dist.tracking.location import folder_name


def spool_folder(folder: Storage, experiment: str, name: str) -> Path:
    """Inside the run's own folder when that is on this machine, else in the cache.

    A spool that is lost with its machine costs nothing that was checkpointed: a resumed run tells its history again,
    and the tracker asks MLflow what of it is there already.
    """
    local = folder.local_path
    if local is not None:
        return local / "tracking"
    cache = Path(os.environ.get("GEN_DIST_CACHE") or "~/.cache/gen_dist").expanduser()
    return cache / "spools" / folder_name(experiment) / folder_name(name)
