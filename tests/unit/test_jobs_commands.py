"""What `gen-dist jobs` would send to a cluster, and what it refuses to send."""

import os
from pathlib import Path

import pytest

from gen_dist.cluster import jobs as cluster_jobs
from gen_dist.cluster.jobs import Jobs, check_upload, uploaded_files
from gen_dist.commands import entry
from gen_dist.commands.jobs import resuming, submit

SCRIPT = "jobs/train.py"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    (tmp_path / SCRIPT).write_text("")
    (tmp_path / ".rayignore").write_text("*.npz\n/data/\n")
    (tmp_path / ".gitignore").write_text("runs/\n")
    return tmp_path


def write(path: Path, size: int) -> None:
    """A file of that size which takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        os.truncate(file.fileno(), size)


def test_ignored_files_are_not_uploaded(project: Path) -> None:
    for name in ("a.npz", "data/b.bin", "runs/c.bin", "deep/d.npz"):
        write(project / name, 200 << 20)
    assert {path for _, path in uploaded_files(project)} == {SCRIPT, ".rayignore", ".gitignore"}
    check_upload(project)


def test_an_upload_that_is_too_large_names_what_is_large(project: Path) -> None:
    write(project / "weights.bin", 90 << 20)
    check_upload(project)
    write(project / "video.mp4", 11 << 20)
    with pytest.raises(ValueError, match=r"101 MiB to upload.*\.rayignore.*weights\.bin \(90 MiB\), video\.mp4"):
        entry.call(submit, ["--folder", str(project), "--", SCRIPT, "dcgan-8"])


@pytest.mark.parametrize("secret", ["canary-5f2b9c", "postgres://me:canary-5f2b9c@host/db"])
def test_a_command_with_a_secret_is_refused(secret: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary-5f2b9c")
    with pytest.raises(ValueError, match="holds a secret") as refused:
        entry.call(submit, ["--folder", str(project), "--", SCRIPT, "--experiment", secret])
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("script", ["jobs/absent.py", "README.md", "-c"])
def test_a_script_that_is_not_there_is_refused(script: str, project: Path) -> None:
    with pytest.raises(ValueError, match="there is no script"):
        entry.call(submit, ["--folder", str(project), "--", script])


class Recorded(Jobs):  # final for everybody else: the tests check types too
    """Stands for a cluster: keeps what it is sent."""

    sent: tuple[str, str] | None = None

    def __init__(self, address: str | None) -> None:
        self.address = address

    def submit(self, entrypoint: str, job: str, folder: Path) -> None:
        Recorded.sent = (entrypoint, job)


@pytest.mark.parametrize(
    ("options", "ending"),
    [
        (["dcgan-8", "--data", "s3://b/my faces"], "dcgan-8 --data 's3://b/my faces' --name j1"),
        (["dcgan-8", "--name=mine"], "dcgan-8 --name=mine"),
        (["--resume", "mine"], "--resume mine"),
    ],
)
def test_a_run_is_named_as_its_job_unless_it_has_a_name(
    options: list[str], ending: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gen_dist.commands.jobs.Jobs", Recorded)
    entry.call(submit, ["--name", "j1", "--folder", str(project), "--no-wait", "--", SCRIPT, *options])
    assert Recorded.sent == (f"python {SCRIPT} {ending}", "j1")


@pytest.mark.parametrize(
    ("entrypoint", "expected"),
    [
        (
            "python jobs/train.py dcgan-8 --data d --runs s3://b/r --workers=2:8 --model.latent-dim 3 --name x",
            "jobs/train.py --resume x --runs s3://b/r --workers 2:8",
        ),
        (
            "python jobs/tune_gan.py --data d --gpus_per_trial 1 --workers_per_trial 2 --studies s --trials 9 --name=x",
            "jobs/tune_gan.py --resume x --studies s --gpus-per-trial 1 --workers-per-trial 2",
        ),
        ("python jobs/compare.py --resume x --comparisons c", "jobs/compare.py --resume x --comparisons c"),
    ],
)
def test_resuming_keeps_place_and_resources_and_leaves_settings_to_the_run(entrypoint: str, expected: str) -> None:
    assert resuming(entrypoint.split()) == expected.split()


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [("python jobs/evaluate.py m", "can't be resumed"), ("python jobs/train.py dcgan-8", "does not name its run")],
)
def test_what_can_not_be_resumed_says_so(entrypoint: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        resuming(entrypoint.split())


def test_nobody_at_the_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="127"):
        cluster_jobs.Jobs()
