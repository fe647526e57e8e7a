"""`gen-dist compare` on Ray: a failed preset is a row, the others finish, and a second call does only what is left."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from gen_dist.cluster import train
from gen_dist.commands.compare import compare
from gen_dist.commands.import_ import import_dataset
from gen_dist.data.storage import open_storage
from gen_dist.presets import preset
from gen_dist.tracking.mlflow_tracker import deliver_spool
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.tracker import NoTracker
from gen_dist.workflows.comparison import read_entry
from gen_dist.workflows.job import RunJob

PRESETS = ("vae-8", "realnvp-8", "gaussian-8")


@pytest.mark.usefixtures("ray_cluster")
def test_a_comparison_goes_on_where_it_was(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "comparisons"
    damaged = root / "first" / "runs" / "realnvp-8" / "run.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text('{"name": "realnvp')
    compare(
        PRESETS, data=str(digits), images=64_000, max_epochs=0.5, comparisons=str(root), name="first",
        extractor="random", num_samples=100, num_scored=50, track=False,
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "realnvp-8: failed" in said
    assert "run.json" in said
    folder = open_storage(root / "first")
    entries = {name: read_entry(folder, name) for name in PRESETS}
    assert {name: entry.state for name, entry in entries.items() if entry} == {
        "vae-8": "finished", "realnvp-8": "failed", "gaussian-8": "finished",
    }  # fmt: skip
    assert entries["vae-8"] is not None
    assert 600 < entries["vae-8"].images < 800  # half of the 1,300 training images, in whole batches
    assert entries["vae-8"].record is not None
    assert "frechet_distance" in entries["vae-8"].record.metrics
    assert "- realnvp-8 failed: " in (root / "first" / "comparison.md").read_text()

    damaged.unlink()
    before = (root / "first" / "runs" / "vae-8" / "result.json").stat().st_mtime_ns
    compare(comparisons=str(root), resume="first")
    again = read_entry(folder, "realnvp-8")
    assert again is not None
    assert again.state == "finished"
    assert (root / "first" / "runs" / "vae-8" / "result.json").stat().st_mtime_ns == before
    text = (root / "first" / "comparison.md").read_text()
    assert "failed" not in text
    assert all(f"| {name} |" in text for name in PRESETS)
    assert (root / "first" / "samples.png").exists()


def test_terms_that_cannot_be_kept_are_refused_at_once(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either --time-budget or --images"):
        compare(("vae-8",), data=str(digits), images=10, time_budget="1m", comparisons=str(tmp_path))
    with pytest.raises(ValueError, match="no preset is called 'vea-8'"):
        compare(("vea-8",), data=str(digits), comparisons=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["validation", "test"])
def test_data_without_images_to_judge_by_is_refused_at_once(split: str, tmp_path: Path) -> None:
    import_dataset("digits", str(tmp_path / "data"), **{split: 0.0})
    root = tmp_path / "comparisons"
    with pytest.raises(ValueError, match=f"has no images in the split '{split}'"):
        compare(("vae-8",), data=str(tmp_path / "data"), comparisons=str(root), extractor="random", track=False)
    assert not root.exists()


def test_a_name_that_is_taken_is_refused_before_anything_is_written(digits: Path, tmp_path: Path) -> None:
    """The classifier that judges a comparison stays the one that it began with."""
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "comparison.json").write_text("{}")
    with pytest.raises(ValueError, match=r"there is a comparison in .*first already"):
        compare(("vae-8",), data=str(digits), comparisons=str(tmp_path), name="first", track=False)
    assert [path.name for path in folder.iterdir()] == ["comparison.json"]


def test_two_comparisons_of_a_preset_are_two_runs_in_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is found again by its name, on S3 by its spool too; both say which comparison it belongs to."""
    made: list[tuple[RunIdentity, Path]] = []

    def tracker(identity: RunIdentity, folder: Path) -> NoTracker:
        made.append((identity, folder))
        return NoTracker()

    monkeypatch.setattr(train, "MLflowTracker", tracker)
    for parent in ("first", "second"):
        job = RunJob(
            name="vae-8", runs=f"s3://bucket/{parent}/runs", config=preset("vae-8"), data="digits", data_digest="d",
            experiment="gen_dist", parent=parent,
        )  # fmt: skip
        train.tracker_of(job)
    assert [identity.name for identity, _ in made] == ["first/vae-8", "second/vae-8"]
    assert len({folder for _, folder in made}) == 2


def test_a_comparison_is_a_run_in_mlflow_with_one_below_it_for_each_preset(
    digits: Path, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """As a user calls it, with the store in the working folder."""
    command = [
        *(sys.executable, "-m", "gen_dist", "compare", "vae-8", "gaussian-8", "--data", str(digits)),
        *("--images", "640", "--extractor", "random", "--num-samples", "60", "--num-scored", "20", "--name", "one"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=child_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # On a busy machine, what a run has logged may still wait when the command ends, and says so.
    deadline = time.monotonic() + 120.0
    while any(backlog.num_waiting for backlog in deliver_spool(tmp_path / "comparisons")):
        assert time.monotonic() < deadline, "MLflow did not take what was left"

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("gen_dist")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"one", "one/vae-8", "one/gaussian-8"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs["one"].info.run_id
    assert (runs["one/vae-8"].data.tags["preset"], runs["one/vae-8"].data.tags["seed"]) == ("vae-8", "0")
    assert all(run.data.tags["mlflow.parentRunId"] == parent for name, run in runs.items() if name != "one")
    assert {file.path for file in client.list_artifacts(parent)} == {"comparison.md", "samples.png"}
    assert len(client.get_metric_history(runs["one/vae-8"].info.run_id, "updates/model")) == 1
