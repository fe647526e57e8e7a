"""Making a finished dataset visible at its destination in one step, and nothing when that fails."""

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gen_dist.data.errors import DataError
from gen_dist.data.progress import track
from gen_dist.data.schema import MANIFEST, SPLITS
from gen_dist.data.storage import Storage

SHARD_KEY = re.compile(r"(train|validation|test)/\d{5}-[0-9a-f]{12}\.parquet")


@contextmanager
def publishing(destination: Storage, *, overwrite: bool) -> Iterator[Path]:
    """An empty local folder to write a dataset into; it is published when the block ends well.

    On this machine the folder lies beside the destination and is renamed. Elsewhere the shards are uploaded, and then
    the manifest, which alone makes a dataset exist; when an upload fails, the shards are removed again. Since shards
    are named by their contents, a dataset that is overwritten stays readable until the new manifest replaces its own.

    Raises:
        DataError: the destination holds a dataset already and `overwrite` is False, or holds other files.
    """
    check_free(destination, overwrite=overwrite)
    local = destination.local_path
    if local is None:
        with tempfile.TemporaryDirectory(prefix="gen-dist-import-") as staging:
            yield Path(staging)
            _publish_elsewhere(Path(staging), destination)
        return
    beside = next(parent for parent in local.parents if parent.is_dir())
    with _removed_on_exit(beside / f".{local.name}.importing-{uuid.uuid4().hex[:8]}") as staging_folder:
        staging_folder.mkdir()
        yield staging_folder
        _publish_here(staging_folder, local)


def check_free(destination: Storage, *, overwrite: bool) -> None:
    """Whether a dataset may be written there.

    Raises:
        DataError: there is one already and `overwrite` is False, or there are other files.
    """
    if destination.exists(MANIFEST):
        if not overwrite:
            raise DataError(f"{destination.uri} holds a dataset already: choose another place, or add --overwrite")
        return
    local = destination.local_path
    if local is not None and local.exists() and (not local.is_dir() or any(local.iterdir())):
        raise DataError(f"{destination.uri} exists and is not a dataset: choose another place")


def _publish_here(staging: Path, local: Path) -> None:
    local.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as on_failure:
        if (local / MANIFEST).exists():
            replaced = local.parent / f".{local.name}.replaced-{uuid.uuid4().hex[:8]}"
            local.rename(replaced)
            on_failure.callback(replaced.rename, local)
            staging.rename(local)
            on_failure.pop_all()
            shutil.rmtree(replaced)
        else:
            staging.rename(local)


def _publish_elsewhere(staging: Path, destination: Storage) -> None:
    before = {key for split in SPLITS for key in destination.list(split)}
    keys = sorted(path.relative_to(staging).as_posix() for path in staging.rglob("*.parquet"))
    with ExitStack() as on_failure:
        for key in track(keys, f"Uploading to {destination.uri}", len(keys)):
            if key not in before:
                on_failure.callback(destination.delete, key)
                destination.upload(staging / key, key)
        destination.write_bytes(MANIFEST, (staging / MANIFEST).read_bytes())
        on_failure.pop_all()
    delete_shards(destination, before - set(keys))


def delete_shards(destination: Storage, keys: Iterable[str]) -> None:
    """Remove those of these files that are shards of a dataset that was replaced, and nothing else."""
    for key in keys:
        if SHARD_KEY.fullmatch(key):
            destination.delete(key)


@contextmanager
def _removed_on_exit(folder: Path) -> Iterator[Path]:
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
