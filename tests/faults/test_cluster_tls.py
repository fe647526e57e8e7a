"""Ray's channels under TLS, with a certificate that an authority of our own has signed."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.util import get_node_ip_address
from ray_cluster import RayCluster

from gen_dist.workflows.job import open_run, read_result

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(1200)]
REPOSITORY = Path(__file__).parents[2]
JOB_SECONDS = 600.0


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with ca.crt, tls.crt and tls.key, made by the commands of docs/security.md."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    names = f"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:{get_node_ip_address()}"
    (tmp_path / "names").write_text(names)
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority",
        "req -newkey rsa:2048 -nodes -keyout tls.key -out tls.csr -subj /CN=node",
        "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt -days 2 -extfile names",
    ):
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def cluster(certificates: Path) -> Iterator[RayCluster]:
    files = {"SERVER_CERT": "tls.crt", "SERVER_KEY": "tls.key", "CA_CERT": "ca.crt"}
    cluster = RayCluster({"RAY_USE_TLS": "1"} | {f"RAY_TLS_{key}": str(certificates / f) for key, f in files.items()})
    yield cluster
    cluster.stop()


def test_two_nodes_train_under_tls(cluster: RayCluster, certificates: Path, digits: str, tmp_path: Path) -> None:
    def shake_hands(context: ssl.SSLContext) -> None:
        with socket.create_connection(("127.0.0.1", cluster.port), timeout=10) as connection:
            context.wrap_socket(connection, server_hostname="127.0.0.1").close()

    shake_hands(ssl.create_default_context(cafile=str(certificates / "ca.crt")))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(ssl.create_default_context())
    runs = tmp_path / "runs"
    script = ["jobs/train.py", "dcgan-8", "--data", digits, "--runs", str(runs), "--workers", "2", "--no-track"]
    script += ["--training.images", "1280", "--training.num-micro-batches", "2", "--no-evaluate"]
    submitted = subprocess.run(
        [sys.executable, "-m", "gen_dist", "jobs", "submit", "--name", "under-tls", "--", *script],
        cwd=REPOSITORY,
        env=os.environ | cluster.client,
        capture_output=True,
        text=True,
        timeout=JOB_SECONDS,
        check=False,
    )
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    assert "training on 3 nodes, 2 CPUs" in submitted.stdout
    result = read_result(open_run(str(runs), "under-tls"))
    assert result is not None
    assert result.finished
