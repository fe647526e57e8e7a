"""What every test runs under: checked types, one thread, a clean environment and a folder of its own."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Checks the shapes and types of every annotated function of gen_dist, in tests only. Before the first import of it.
assert "gen_dist" not in sys.modules, "gen_dist was imported before the type-checking hook was installed"
install_import_hook("gen_dist", "beartype.beartype")

import torch  # noqa: E402  (after the hook, like all that may import gen_dist)

# What a developer's shell may hold and a test must never use: services, credentials, clusters.
FOREIGN_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "GEN_DIST_EXPECT_GPUS",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_ID",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "RAY_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
)
# Nothing that a test starts calls home, asks an instance for credentials, or reads the developer's AWS files.
QUIET_VARIABLES = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MPLBACKEND": "Agg",
    "NO_PROXY": "127.0.0.1,localhost",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No service, credential or cluster of the developer's leaks into a test, nor a file of a test out of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in FOREIGN_VARIABLES:
            patch.delenv(name, raising=False)
        for name, value in QUIET_VARIABLES.items():
            patch.setenv(name, value)
        patch.setenv("GEN_DIST_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(tmp_path_factory.mktemp("session"))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads; with one, equal seeds give equal bits on any machine of a kind."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_folder(clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in an empty folder, so that what it writes to a relative path is nobody else's."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def audible_loggers() -> None:
    """Libraries configure logging when they start services; what one test started must not silence another's log."""
    logging.disable(logging.NOTSET)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("gen_dist") and isinstance(logger, logging.Logger):
            logger.disabled, logger.propagate = False, True


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """A test that draws without a seed of its own draws the same every time."""
    torch.manual_seed(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to keep what the tests of faults measured."""
    parser.addoption(
        "--faults-table", type=lambda text: Path(text).absolute(), help="document to write the table of faults into"
    )
