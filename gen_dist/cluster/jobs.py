"""Ray jobs: this folder's code on a cluster, followed and stopped through the cluster's HTTP address."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import ray
from ray._private.runtime_env.packaging import _dir_travel
from ray.job_submission import JobStatus, JobSubmissionClient
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

MAX_UPLOAD_BYTES = 100 << 20
NUM_LARGE_SHOWN = 5
MEBIBYTE = 1 << 20
STOP_SECONDS = 60
"""How long a job that was asked to end may take, for a last checkpoint. Ray's own 3 s are too short for that."""
AFTER_STOP_SECONDS = 30.0
POLL_SECONDS = 0.5


@final
@dataclass(frozen=True, slots=True)
class JobState:
    """A job as the cluster knows it.

    Attributes:
        entrypoint: its command line.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        message: what Ray says of it.
    """

    entrypoint: str
    status: str
    message: str

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return bool(JobStatus(self.status).is_terminal())


@final
class Jobs:
    """The jobs of one cluster.

    Args:
        address: "http://host:8265"; None takes RAY_API_SERVER_ADDRESS, RAY_ADDRESS, or the cluster of this machine, in
            this order. The token comes from Ray's own variables.

    Raises:
        ConnectionError: nobody answers there, or the token is refused.
    """

    def __init__(self, address: str | None = None) -> None:
        with _explained():
            self._client = JobSubmissionClient(address)

    def submit(self, entrypoint: str, job: str, folder: Path) -> None:
        """Upload a folder, as far as .rayignore and .gitignore let it, and run a command line in it.

        Nothing of this process's environment goes with it: everybody who may look at the cluster sees what a job is
        started with.

        Raises:
            ValueError: the cluster refuses it, or has a job of that name.
        """
        with _explained():
            self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=job,
                runtime_env={
                    "working_dir": str(folder),
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
                },
            )

    def state(self, job: str) -> JobState:
        """A job; ValueError if there is none of that name.

        A head that found its memory again in Redis takes the jobs of the lost one for running, until another is
        submitted. One whose node is gone has failed.
        """
        with _explained():
            details = self._client.get_job_info(job)
            lost = details.status == JobStatus.RUNNING and not self._lives(details.driver_node_id)
        entrypoint = str(details.entrypoint)
        if lost:
            return JobState(entrypoint, JobStatus.FAILED.value, "the node that its driver ran on is gone")
        return JobState(entrypoint, str(details.status), str(details.message or ""))

    def _lives(self, node: str | None) -> bool:
        """Whether a node is part of the cluster; True for one that is not known yet, or while Ray can't tell."""
        if node is None:
            return True
        try:
            living = list_nodes(
                self._client.get_address(),
                filters=[("node_id", "=", node), ("state", "=", "ALIVE")],
                raise_on_missing_output=False,  # Ray takes nodes that the filter leaves out for missing ones
            )
        except RayStateApiException:  # a head that is busy; who asks asks again
            return True
        return bool(living)

    def logs(self, job: str) -> str:
        """All that it has printed so far."""
        with _explained():
            return str(self._client.get_job_logs(job))

    def follow(self, job: str, show: Callable[[str], None]) -> JobState:
        """Show what it prints until it ends."""

        async def follow() -> None:
            async for text in self._client.tail_job_logs(job):
                show(text)

        with _explained():
            asyncio.run(follow())
        return self.wait(job, STOP_SECONDS + AFTER_STOP_SECONDS)

    def stop(self, job: str) -> JobState:
        """Ask it to end (Ray kills it when it does not), and wait until it has."""
        with _explained():
            self._client.stop_job(job)
        return self.wait(job, STOP_SECONDS + AFTER_STOP_SECONDS)

    def wait(self, job: str, seconds: float) -> JobState:
        """Its state when it has ended, or when the time is over."""
        deadline = time.monotonic() + seconds
        while not (state := self.state(job)).ended and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return state


def uploaded_files(folder: Path) -> list[tuple[int, str]]:
    """Size and path of each file that Ray would upload, the largest first; what ignore files exclude is left out."""
    found: list[tuple[int, str]] = []

    def add(path: Path) -> None:
        if path.is_file():
            found.append((path.stat().st_size, path.relative_to(folder).as_posix()))

    _dir_travel(folder, [], add, include_gitignore=True)  # Ray's own walk, so that it is what Ray does
    return sorted(found, reverse=True)


def check_upload(folder: Path) -> None:
    """Refuse a folder that Ray would refuse, before it is packed.

    Raises:
        ValueError: it is too large; the message names the largest files.
    """
    files = uploaded_files(folder)
    total = sum(size for size, _ in files)
    if total > MAX_UPLOAD_BYTES:
        largest = ", ".join(f"{path} ({size / MEBIBYTE:.0f} MiB)" for size, path in files[:NUM_LARGE_SHOWN])
        raise ValueError(
            f"{folder} has {total / MEBIBYTE:.0f} MiB to upload, more than {MAX_UPLOAD_BYTES // MEBIBYTE}: exclude "
            f"data and results in .rayignore. The largest: {largest}"
        )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ray.exceptions.AuthenticationError as error:
        raise ConnectionError(
            "the cluster refuses the token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) to the "
            "cluster's; `gen-dist doctor` looks at them"
        ) from error
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ValueError(f"Ray: {lines[-1].strip() if lines else type(error).__name__}") from error
