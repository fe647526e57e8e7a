"""A full disk, a damaged checkpoint, and two processes that want one run."""

import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from faulted_runs import (
    Script,
    assert_all_points_once,
    assert_sound,
    checkpoint_keys,
    key_at,
    new_job,
    run,
    track,
    weights_of,
)
from faults_table import FaultsTable
from mlflow_server import MLflowServer
from proxy import bad_road
from s3_server import S3Server
from tiny_disk import tiny_disk

from gen_dist.training.checkpoint import CheckpointError
from gen_dist.training.checkpointing import CheckpointWarning
from gen_dist.workflows.job import CHECKPOINTS, RunJob, RunResult, create_run, read_result
from gen_dist.workflows.ownership import OvertakenError

pytestmark = pytest.mark.faults
DISK_BYTES = 8 << 20


@pytest.mark.study
def test_a_full_disk(digits: str, tmp_path: Path, undisturbed: str, mlflow: MLflowServer, table: FaultsTable) -> None:
    with tiny_disk(DISK_BYTES, tmp_path / "disk") as disk:
        job = new_job(digits, disk.folder / "runs", "disk-full")
        spool = disk.folder / "runs" / job.name / "tracking"
        # It is full when the checkpoints after rounds 80 to 140 are due and when a picture is drawn, and again at the
        # end, when the last checkpoint and the model are.
        pause = threading.Event()

        def fill_when_written() -> None:
            while checkpoint_keys(job)[0] != key_at(180):
                pause.wait(0.02)
            disk.fill()

        script = Script(at={70: disk.fill, 150: disk.free, 190: fill_when_written})
        with (
            pytest.warns(UserWarning, match=r"could not be written|is not kept") as said,
            pytest.raises(CheckpointError, match=rf"{CHECKPOINTS}.*free space on its disk.*--resume"),
        ):
            run(job, script, track(job, spool, mlflow))
        assert script.rounds == 200
        texts = [str(warning.message) for warning in said]
        advice = rf"checkpoint {key_at(80)} could not be written below {job.folder.uri}.*free space on its disk"
        assert any(re.search(advice, text) for text in texts), texts
        assert any("the picture of disk-full is not kept" in text for text in texts), texts
        assert read_result(job) is None
        assert checkpoint_keys(job)[0] == key_at(180)
        assert_sound(job)
        disk.free()
        told = run(job, tracker=track(job, spool, mlflow))
        assert told.result.finished
        assert f"goes on from image {180 * 32:,}" in told.text
        assert weights_of(job) == undisturbed
        assert_sound(job)
        points = assert_all_points_once(job, spool, mlflow)
    table.row(
        "the disk of the run's folder is full, is freed, and is full again at the end",
        seen="“checkpoint … could not be written below PATH: … No space left on device: free space on its disk; "
        "training goes on”; at the end the same as an error, exit code 2",
        lost="pictures of samples while it was full; no checkpoint that was complete. After space is freed, `--resume`",
        measured=f"80 rounds trained while it was full; all {points} points in MLflow once; same weights",
    )


@pytest.fixture(scope="module")
def stopped(digits: str, tmp_path_factory: pytest.TempPathFactory) -> RunJob:
    """A run that was stopped after 100 rounds, with checkpoints after 80 and 100."""
    job = new_job(digits, tmp_path_factory.mktemp("stopped"), "damaged")
    run(job, Script(stop=100))
    assert checkpoint_keys(job) == [key_at(100), key_at(80)]
    return job


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x80
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit in a tensor file": (
        lambda folder: flip(folder / "learner.safetensors", -5),
        r"learner\.safetensors was changed after it was written",
    ),
    "a tensor file is missing": (
        lambda folder: (folder / "ema.safetensors").unlink(),
        r"ema\.safetensors is missing",
    ),
    "half a manifest": (
        lambda folder: (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:200]),
        r"manifest\.json is missing or damaged",
    ),
    "a flipped bit in the manifest": (
        lambda folder: flip(folder / "manifest.json", 3),
        r"manifest\.json is missing or damaged",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint(
    stopped: RunJob, damage: str, tmp_path: Path, undisturbed: str, table: FaultsTable
) -> None:
    shutil.copytree(stopped.runs, tmp_path / "runs")
    job = replace(stopped, runs=str(tmp_path / "runs"))
    hurt, message = DAMAGES[damage]
    hurt(tmp_path / "runs" / job.name / CHECKPOINTS / key_at(100))
    with pytest.warns(CheckpointWarning, match=rf"{key_at(100)}/{message}.*the checkpoint before it is used"):
        told = run(job)
    assert told.result.finished
    assert f"goes on from image {80 * 32:,}" in told.text
    assert weights_of(job) == undisturbed
    assert_sound(job)
    table.row(
        f"the newest checkpoint is damaged: {damage}",
        seen="at `--resume`: a warning that names the file and says that the checkpoint before it is used",
        lost="the rounds since the checkpoint before (here 20), trained again",
        measured="same weights",
    )


def race(job: RunJob, num_racers: int) -> list[str]:
    """Create a run from several threads at once; returns what those were told who came too late."""
    start = threading.Barrier(num_racers)

    def create() -> str:
        start.wait()
        try:
            create_run(job)
        except ValueError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(num_racers) as racers:
        answers = [racer.result() for racer in [racers.submit(create) for _ in range(num_racers)]]
    return [answer for answer in answers if answer]


def test_two_runs_of_one_name(
    digits: str, tmp_path: Path, bucket: str, s3: S3Server, table: FaultsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job(digits, tmp_path, "first")
    with bad_road(s3.port, seed=11) as road:
        monkeypatch.setenv("AWS_ENDPOINT_URL", road.uri)
        road.refused_share = 0.2  # an answer that is lost must not make the winner believe that it came too late
        for attempt in range(10):
            for runs in (str(tmp_path), f"{bucket}/runs"):
                refused = race(replace(job, name=f"same-{attempt}", runs=runs), num_racers=3)
                assert len(refused) == 2
                assert all("give this one another --name" in answer for answer in refused)
    table.row(
        "several runs are started with one name at the same moment, on disk and on S3",
        seen="all but one: “there is a run NAME below RUNS already: give this one another --name, or …”, exit code 2",
        lost="nothing",
        measured=f"20 races of 3, one winner each, {road.harmed} of {road.handled} requests failed on the way",
    )


def test_two_processes_go_on_with_one_run(digits: str, tmp_path: Path, undisturbed: str, table: FaultsTable) -> None:
    job = new_job(digits, tmp_path, "contested")
    results: list[RunResult] = []
    with pytest.raises(OvertakenError, match=r"contested: another process has gone on with this run.*host"):
        run(job, Script(at={110: lambda: results.append(run(job).result)}))
    (second,) = results
    assert second.finished
    assert read_result(job) == second
    assert weights_of(job) == undisturbed
    assert_sound(job)
    table.row(
        "`--resume` of a run that another process is still training",
        seen="the one that was there first: “another process has gone on with this run, so this one ends and writes "
        "nothing more. The other: host …, process …”, exit code 2, at its next checkpoint",
        lost="what the first one did since its last checkpoint, trained again by the other",
        measured="the folder holds the second one's history alone; same weights",
    )
