import subprocess
from pathlib import Path

import pytest
from torch import nn

from gen_dist.learner import Learner, Loss, Phase, Player
from gen_dist.optimization import Adam
from gen_dist.tracking import lineage
from gen_dist.tracking.lineage import MAX_NAME, describe_phases, fit, lineage_tags, metric_name, too_long
from gen_dist.tracking.location import artifact_location, redact, sqlite_file, store_uri


class Pair(Learner):
    """Two networks, two phases."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 2)
        self.two = nn.Linear(1, 1)

    @property
    def players(self) -> dict[str, Player]:
        return {
            "critic": Player(module=self.one, optimizer=Adam(learning_rate=0.1), ema_decay=0.99),
            "generator": Player(module=self.two, optimizer=Adam(learning_rate=0.1)),
        }

    @property
    def phases(self) -> tuple[Phase, ...]:
        def signal(batch: object, context: object) -> Loss:
            raise NotImplementedError

        return (
            Phase(name="critic", player="critic", signal=signal, repeats=5),
            Phase(name="penalty", player="critic", signal=signal, every=16),
            Phase(name="generator", player="generator", signal=signal, repeats=lambda moment: 2),
        )


def test_phases_are_told_in_words() -> None:
    lines = describe_phases(Pair()).splitlines()
    assert lines[1].startswith("  critic: Linear, 8 parameters, Adam(")
    assert lines[1].endswith("EMA 0.99")
    assert lines[-3:] == [
        "  critic: moves critic, 5 steps, each on a fresh batch",
        "  penalty: moves critic, 1 step, every 16 rounds",
        "  generator: moves generator, repeats by schedule",
    ]


def test_tags_name_the_commit_and_the_libraries() -> None:
    tags = lineage_tags()
    folder = Path(lineage.__file__).parent
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    if commit.returncode == 0:
        assert tags["mlflow.source.git.commit"] == commit.stdout.strip()
        assert tags["gen_dist.git_changed"] in ("yes", "no")
    assert tags["gen_dist.version.torch"].startswith("2.")
    assert tags["gen_dist.version.python"].startswith("3.")


def test_a_machine_without_git_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage.shutil, "which", lambda program: None)
    assert "mlflow.source.git.commit" not in lineage_tags()


def test_long_values_keep_their_head_and_stay_distinguishable() -> None:
    one, two = "a" * 7000, "a" * 6999 + "b"
    assert len(fit(one, 6000)) == 6000
    assert fit(one, 6000).startswith("a" * 5900)
    assert "7000 characters" in fit(one, 6000)
    assert fit(one, 6000) != fit(two, 6000)
    assert fit("short", 6000) == "short"
    assert too_long({"one": one, "short": "x"}, 6000) == {"one": one}


def test_names_are_made_fit_for_mlflow() -> None:
    assert metric_name("gradient_norm/critic") == "gradient_norm/critic"
    assert metric_name("p(x)|y%") == "p_x__y_"
    long = metric_name("a" * 400)
    assert len(long) == MAX_NAME
    assert long != metric_name("a" * 401)


def test_the_store_is_the_given_one_then_the_environment_then_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert store_uri() == "http://tracking:5000"
    assert store_uri("sqlite:///runs/a.db") == f"sqlite:///{tmp_path}/runs/a.db"


def test_artifacts_of_a_local_store_lie_beside_it() -> None:
    assert artifact_location("sqlite:////data/mlflow.db", "faces") == "file:///data/mlartifacts/faces"
    assert artifact_location("http://tracking:5000", "faces") is None
    assert sqlite_file("postgresql://db/mlflow") is None


def test_passwords_are_taken_out_of_addresses() -> None:
    assert redact("https://user:secret@host:5000/path?x=1") == "https://host:5000/path?x=1"
    assert redact("sqlite:////data/mlflow.db") == "sqlite:////data/mlflow.db"
    assert redact("s3://bucket/data") == "s3://bucket/data"
