import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from rich.console import Console

from gen_dist.cluster.session import connect
from gen_dist.commands.import_ import import_dataset


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray on this machine with two CPUs, with a token of its own."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text("0" * 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        patch.setenv("RAY_worker_niceness", "0")  # other tests compute beside these
        connect(Console(quiet=True), num_cpus=2)
        yield
        ray.shutdown()


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as a dataset."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    import_dataset("digits", str(folder))
    return folder


@pytest.fixture(scope="session")
def child_environment() -> dict[str, str]:
    """For processes that a test starts: as this one, with one thread, so that results are bit-equal."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}
