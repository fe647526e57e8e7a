"""The object store hangs, refuses, loses answers and cuts uploads: the run ends with the weights it would have had."""

import threading
from pathlib import Path

import pytest
from faulted_runs import Script, assert_all_points_once, assert_sound, key_at, new_job, run, track, weights_of
from faults_table import FaultsTable
from mlflow_server import MLflowServer
from proxy import bad_road
from s3_server import S3Server

from gen_dist.commands.import_ import import_dataset
from gen_dist.training.checkpointing import CheckpointWarning

pytestmark = pytest.mark.faults
SUSPENDED_SECONDS = 5.0


def test_a_suspended_store(
    digits: str, bucket: str, s3: S3Server, undisturbed: str, mlflow: MLflowServer, spool: Path, table: FaultsTable
) -> None:
    job = new_job(digits, f"{bucket}/runs", "s3-suspended")
    wake = threading.Timer(SUSPENDED_SECONDS, s3.resume)
    # One checkpoint may hang in the network and one may wait for it: the rounds up to the third never wait. The time
    # begins only then, so a training that waits for the store would fail with the store's time limit.
    script = Script(at={50: s3.pause, 75: wake.start})
    try:
        told = run(job, script, track(job, spool, mlflow))
    finally:
        wake.cancel()
        s3.resume()
    assert told.result.finished
    assert told.seconds > SUSPENDED_SECONDS
    assert weights_of(job) == undisturbed
    assert_sound(job)
    points = assert_all_points_once(job, spool, mlflow)
    table.row(
        f"S3 hangs for more than {SUSPENDED_SECONDS:.0f} s while checkpoints are written",
        seen="nothing; training waits only when two checkpoints wait",
        lost="nothing",
        measured=f"25 rounds and more trained meanwhile; all {points} points in MLflow once; same weights",
    )


def test_a_store_that_fails_a_fifth_of_all_requests(
    bucket: str,
    s3: S3Server,
    undisturbed: str,
    mlflow: MLflowServer,
    spool: Path,
    table: FaultsTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with bad_road(s3.port, seed=5) as road:
        monkeypatch.setenv("AWS_ENDPOINT_URL", road.uri)
        road.refused_share = 0.2
        import_dataset("digits", f"{bucket}/digits")
        job = new_job(f"{bucket}/digits", f"{bucket}/runs", "s3-fails")
        told = run(job, tracker=track(job, spool, mlflow))
        assert told.result.finished
        assert 0.1 < road.harmed / road.handled < 0.3
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.uri)
    assert weights_of(job) == undisturbed
    assert_sound(job)
    points = assert_all_points_once(job, spool, mlflow)
    table.row(
        "S3 fails 20 % of all requests, half of them after it has done what was asked",
        seen="nothing: requests are repeated (5 attempts)",
        lost="nothing",
        measured=f"{road.harmed} of {road.handled} requests failed; all {points} points in MLflow once; same weights",
    )


def test_uploads_that_are_cut(
    digits: str,
    bucket: str,
    s3: S3Server,
    undisturbed: str,
    mlflow: MLflowServer,
    spool: Path,
    table: FaultsTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with bad_road(s3.port, seed=7) as road:
        monkeypatch.setenv("AWS_ENDPOINT_URL", road.uri)
        job = new_job(digits, f"{bucket}/runs", "s3-cut")
        road.cut_share, road.truncated = 0.2, f"{key_at(100)}/optimizers.safetensors"
        first = run(job, Script(stop=100), track(job, spool, mlflow))
        assert first.result.samples_seen == 100 * 32
        assert not first.result.finished
        road.truncated = ""
        with pytest.warns(
            CheckpointWarning, match=rf"{key_at(100)}/optimizers\.safetensors (is|was changed or) cut short"
        ) as said:
            second = run(job, tracker=track(job, spool, mlflow))
        assert second.result.finished
        assert f"goes on from image {80 * 32:,}" in second.text
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.uri)
    assert len(said) == 1
    assert weights_of(job) == undisturbed
    assert_sound(job)
    points = assert_all_points_once(job, spool, mlflow)
    table.row(
        "20 % of uploads break off, and S3 takes half of a checkpoint for the whole; then the run is stopped",
        seen="at `--resume`: “… was changed or cut short after it was written, says its store; the checkpoint "
        "before it is used”",
        lost="the rounds since the checkpoint before (here 20), trained again",
        measured=f"{road.harmed} of {road.handled} requests cut; all {points} points in MLflow once; same weights",
    )
