import secrets
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest
from cluster_runs import JOB_SECONDS, Site, new_bucket
from faulted_runs import new_job, run, weights_of
from faults_table import FaultsTable
from mlflow_server import MLflowServer
from postgres_server import PostgresServer
from ray_cluster import RayCluster
from s3_server import S3Server

from gen_dist.commands.import_ import import_dataset


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[FaultsTable]:
    """Where every test writes what it saw; kept with --faults-table PATH."""
    table = FaultsTable()
    yield table
    path = request.config.getoption("--faults-table")
    if path is not None:
        table.write(path)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digits as a dataset on this machine."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    import_dataset("digits", str(folder))
    return str(folder)


@pytest.fixture(scope="session")
def undisturbed(digits: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the weights of the run that nothing happens to."""
    job = new_job(digits, tmp_path_factory.mktemp("undisturbed"), "undisturbed")
    assert run(job).result.finished
    return weights_of(job)


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    """A server that every test leaves running."""
    server = MLflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with the environment set for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_process.uri)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return s3_process


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """URI of a fresh bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where a run's history waits."""
    return tmp_path / "spool"


@pytest.fixture(scope="session")
def site(s3_process: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Ray cluster with its services, and the digits in its bucket. Every test leaves it whole."""
    canary = f"canary-{secrets.token_hex(8)}"
    folder = tmp_path_factory.mktemp("site")
    bucket = new_bucket(s3_process, f"cluster-{uuid.uuid4().hex}")
    here = {"AWS_ENDPOINT_URL": s3_process.uri, "AWS_ACCESS_KEY_ID": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in (here | {"AWS_SECRET_ACCESS_KEY": "another"}).items():
            patch.setenv(name, value)
        postgres = PostgresServer()
        stack.callback(postgres.remove)
        mlflow = MLflowServer(folder, postgres.uri)
        mlflow.start()
        stack.callback(mlflow.stop)
        cluster = RayCluster(here | {"AWS_SECRET_ACCESS_KEY": canary, "MLFLOW_TRACKING_URI": mlflow.uri})
        stack.callback(cluster.stop)
        site = Site(
            cluster=cluster,
            s3=s3_process,
            postgres=postgres,
            mlflow=mlflow,
            bucket=bucket,
            canary=canary,
            folder=folder,
        )
        imported = site.ray_job("jobs/import_dataset.py", "digits", f"{bucket}/digits")
        assert imported.wait() == 0, imported.text
        yield site


@pytest.fixture(scope="session")
def peaceful(site: Site) -> str:
    """Digest of the weights of the run on the cluster that nothing happens to."""
    submitted = site.train("peaceful")
    assert submitted.wait(JOB_SECONDS) == 0, submitted.text
    return weights_of(site.run("peaceful"))
