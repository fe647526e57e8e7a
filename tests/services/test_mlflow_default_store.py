"""Without a server: mlflow.db and mlartifacts/ in the working folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from gen_dist.commands import entry
from gen_dist.commands.deliver import deliver
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.tracker import DatasetRecord

PATIENCE_SECONDS = 120.0
CANARY = "canary-77aa01"


def test_a_run_lands_in_the_working_folder_and_takes_no_secret_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN", "GEN_DIST_ANYTHING"):
        monkeypatch.setenv(name, CANARY)
    tracker = MLflowTracker(RunIdentity(name="digits-1"), Path("runs/digits-1"), system_metrics_every_seconds=0.05)
    tracker.start()
    tracker.log_params({"seed": 0})
    for step in range(100):
        tracker.log_metrics(step, {"loss": 1.0 / (step + 1)})
    tracker.log_image(Image.new("L", (4, 4)), "samples/1.png")
    tracker.log_dataset(DatasetRecord(name="digits", digest="d", uri="runs/data", summary='{"classes": 10}'))
    assert tracker.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0

    client = MlflowClient()  # MLflow's own default is the same store
    experiment = client.get_experiment_by_name("gen_dist")
    assert experiment is not None
    assert client.get_experiment("0").artifact_location.removeprefix("file://") == f"{tmp_path}/mlruns/0"
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == tracker.run_id()
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 100
    assert run.data.metrics["system/process_memory_megabytes"] > 0
    assert run.inputs.dataset_inputs[0].dataset.profile == '{"classes": 10}'
    assert (tmp_path / "mlartifacts" / "gen_dist" / run.info.run_id / "artifacts" / "samples" / "1.png").exists()

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "mlflow.db" in files
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]

    assert entry.run(deliver, ["runs"]) == 0
    assert capsys.readouterr().out == "runs/digits-1: everything is delivered\n"


TRIAL = """
import sys, warnings
from pathlib import Path
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity
tracker = MLflowTracker(RunIdentity(name=sys.argv[1], parent="study"), Path(sys.argv[1]), deliver_every_seconds=0.05)
tracker.start()
for step in range(500):
    tracker.log_metrics(step, {"loss": float(step)})
print(tracker.finish(timeout_seconds=120).num_waiting)
"""


def test_a_study_and_its_trials_may_start_at_once_on_an_empty_folder() -> None:
    study = MLflowTracker(RunIdentity(name="study"), Path("study"), system_metrics_every_seconds=None)
    trials = [
        subprocess.Popen([sys.executable, "-c", TRIAL, name], stdout=subprocess.PIPE, text=True, env=os.environ.copy())
        for name in ("one", "two")
    ]
    study.start()
    try:
        assert [trial.communicate(timeout=240)[0] for trial in trials] == ["0\n", "0\n"]
    finally:
        for trial in trials:
            trial.kill()
            trial.communicate()
    assert study.finish(timeout_seconds=PATIENCE_SECONDS).num_waiting == 0
    client = MlflowClient()
    (experiment,) = [e for e in client.search_experiments() if e.name == "gen_dist"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"study", "one", "two"}
    for name in ("one", "two"):
        assert runs[name].data.tags["mlflow.parentRunId"] == runs["study"].info.run_id
        history = client.get_metric_history(runs[name].info.run_id, "loss")
        assert sorted(metric.step for metric in history) == list(range(500))
