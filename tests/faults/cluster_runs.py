"""Real jobs on the real cluster, submitted as the documents say, and what is looked at when they are over."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from faulted_runs import assert_all_points_once, assert_sound, checkpoint_keys, weights_of
from mlflow_server import MLflowServer
from postgres_server import PostgresServer
from ray_cluster import RAY, RayCluster, wait_for
from s3_server import S3Server

from gen_dist.workflows.job import RunJob, open_run, read_result

REPOSITORY = Path(__file__).parents[2]
BATCH = 32
ROUNDS = 600
ROUNDS_PER_CHECKPOINT = 60
JOB_SECONDS = 600.0
SETTINGS = {
    "model.generator-channels": 8,
    "model.critic-channels": 8,
    "training.batch-size": BATCH,
    "training.num-micro-batches": 2,
    "training.images": ROUNDS * BATCH,
    "training.rounds-per-report": 5,
    "training.checkpoint-every-images": ROUNDS_PER_CHECKPOINT * BATCH,
    "training.checkpoint-every-seconds": None,
    "training.num-threads": 1,
}
PEOPLE = (
    *("jobs/", "RayTrain", "TrainController", "courier_process", "PreemptionWatcher", "JobSupervisor"),
    *("ray::ImplicitFunc", "ray::_confirmation", "ray::_attend"),
)
"""What belongs to a run, and to a study and its trials: none of it may be left when it is over."""


class Submitted:
    """A command at a person's terminal.

    Attributes:
        words: of the command.
        text: what it has printed so far.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self.words = command
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd=REPOSITORY, env=environment)

    @property
    def text(self) -> str:
        """Without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self._log.read_text(errors="replace"))

    def wait(self, seconds: float = JOB_SECONDS) -> int:
        """Its exit code."""
        return self.process.wait(timeout=seconds)


@dataclass(kw_only=True)
class Site:
    """The cluster and the services around it.

    Attributes:
        canary: the secret in the environment of the nodes, which must appear nowhere.
        folder: for logs.
        submitted: all commands that were given.
    """

    cluster: RayCluster
    s3: S3Server
    postgres: PostgresServer
    mlflow: MLflowServer
    bucket: str
    canary: str
    folder: Path
    submitted: list[Submitted] = field(default_factory=list)

    @property
    def runs(self) -> str:
        return f"{self.bucket}/runs"

    def command(self, *words: str, token: bool = True) -> Submitted:
        """A command in the project's folder, at a machine that knows the cluster's address, and its token."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= self.cluster.client
        if not token:
            del environment["RAY_AUTH_TOKEN_PATH"]
            environment["HOME"] = str(self.folder)  # Ray looks for a token there too
        submitted = Submitted(words, environment, self.folder / f"command-{len(self.submitted)}.log")
        self.submitted.append(submitted)
        return submitted

    def ray_job(self, *words: str, token: bool = True) -> Submitted:
        """`ray job submit` as the README has it."""
        return self.command(RAY, "job", "submit", "--working-dir", ".", "--", "python", *words, token=token)

    def jobs(self, *words: str, token: bool = True) -> Submitted:
        """`gen-dist jobs ...`."""
        return self.command(sys.executable, "-m", "gen_dist", "jobs", *words, token=token)

    def train(self, name: str, *, workers: str = "2") -> Submitted:
        """The run, new."""
        return self.ray_job(*self.training(), "--name", name, "--workers", workers)

    def training(self) -> list[str]:
        """Script and options, without name and workers."""
        words = ["jobs/train.py", "dcgan-8", "--data", f"{self.bucket}/digits", "--runs", self.runs]
        words += ["--extractor", "random", "--num-samples", "100"]
        return words + [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]

    def resume(self, name: str) -> Submitted:
        """The run, gone on with by a new job."""
        return self.ray_job("jobs/train.py", "--resume", name, "--runs", self.runs, "--workers", "2")

    def run(self, name: str) -> RunJob:
        return open_run(self.runs, name)

    def newest_key(self, name: str) -> int:
        """Images that the newest checkpoint has seen; 0 without any."""
        try:
            keys = checkpoint_keys(self.run(name))
        except ValueError:  # the run is not written down yet
            return 0
        return int(keys[0]) if keys else 0

    def wait_for_checkpoint(self, name: str, number: int, submitted: Submitted) -> None:
        """Until the run has written so many checkpoints."""

        def written() -> bool:
            assert submitted.process.poll() is None, submitted.text
            return self.newest_key(name) >= number * ROUNDS_PER_CHECKPOINT * BATCH

        wait_for(written, f"checkpoint {number} of {name}")

    def assert_whole(self, name: str, weights: str) -> int:
        """The run is finished as if nothing had happened; returns the number of its points in MLflow."""
        job = self.run(name)
        result = read_result(job)
        assert result is not None
        assert result.finished
        assert weights_of(job) == weights
        assert_sound(job)
        self.assert_nothing_left(job)
        return assert_all_points_once(job, None, self.mlflow)

    def assert_nothing_left(self, job: RunJob) -> None:
        """No process of the run lives, and its folder holds what it should."""
        wait_for(lambda: not self.living(), f"the end of {self.living()}")
        top = {key.split("/")[0] for key in job.folder.list() if key.strip("/")}
        assert top == {"bundle", "checkpoints", "owner.json", "result.json", "run.json", "samples"}, top

    def living(self) -> list[str]:
        """Processes of any run on the cluster."""
        return [title for node in self.cluster.nodes for title in node.titles() if any(who in title for who in PEOPLE)]

    def goes_on(self, submitted: Submitted, times: int = 1) -> int | None:
        """The image from which the training said that it goes on, for the nth time."""
        found = re.findall(r"goes on from image ([\d,]+)", submitted.text)
        return int(found[times - 1].replace(",", "")) if len(found) >= times else None


def new_bucket(s3: S3Server, name: str) -> str:
    """URI of a fresh bucket."""
    client = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test").client(
        "s3", endpoint_url=s3.uri, region_name="us-east-1"
    )
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}"


def seconds_since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"
