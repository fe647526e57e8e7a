"""`gen-dist train` in process: stopped and resumed, registered, and told plainly when it can't go on."""

import json
from pathlib import Path

import pytest

from gen_dist.commands.train import train
from gen_dist.data.storage import open_storage
from gen_dist.serialization import from_json
from gen_dist.workflows.job import RunResult

SMALL = {
    "model.generator_channels": 8,
    "model.critic_channels": 8,
    "training.batch_size": 32,
    "training.images": 6400,
    "training.rounds_per_report": 10,
}


def result_of(runs: Path, name: str) -> RunResult:
    return from_json((runs / name / "result.json").read_text(), RunResult)


def start(digits: Path, runs: Path, name: str, **options: object) -> None:
    train(
        "dcgan-8",
        data=str(digits),
        runs=str(runs),
        name=name,
        extractor="random",
        num_samples=200,
        track=False,
        overrides=SMALL,
        **options,  # type: ignore[arg-type]
    )


def test_a_spent_time_budget_stops_after_a_checkpoint_and_resume_goes_on(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(digits, tmp_path, "short", time_budget_seconds=1e-6)
    said = capsys.readouterr().out
    stopped = result_of(tmp_path, "short")
    assert not stopped.finished
    assert stopped.samples_seen == 320
    assert "go on with: gen-dist train --resume short" in said
    assert open_storage(tmp_path / "short").list("checkpoints")


def test_a_finished_run_is_judged_written_down_and_not_run_again(digits: Path, tmp_path: Path) -> None:
    start(digits, tmp_path, "whole", seed=3)
    result = result_of(tmp_path, "whole")
    assert result.finished
    assert result.updates == {"critic": 200, "generator": 200}
    assert result.evaluation is not None
    assert json.loads(result.evaluation)["protocol"]["ema"] is True
    assert list((tmp_path / "whole" / "samples").glob("*.png"))
    with pytest.raises(ValueError, match=r"run 'whole' is finished; its model is .*bundle"):
        train(resume="whole", runs=str(tmp_path))
    with pytest.raises(ValueError, match=r"there is a run 'whole' below .* already: .* with --resume whole"):
        start(digits, tmp_path, "whole")


def test_a_model_that_neither_draws_nor_scores_is_kept_without_a_judgement(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(
        "convnet-8",
        data=str(digits),
        runs=str(tmp_path),
        name="classifier",
        track=False,
        overrides={"training.images": 640},
    )
    result = result_of(tmp_path, "classifier")
    assert result.finished
    assert result.evaluation is None
    told = capsys.readouterr().out
    assert f"model: {result.bundle}" in told
    assert "draw from it" not in told


def test_a_run_never_goes_on_with_other_data(digits: Path, tmp_path: Path) -> None:
    start(digits, tmp_path, "short", time_budget_seconds=1e-6)
    path = tmp_path / "short" / "run.json"
    job = json.loads(path.read_text())
    path.write_text(json.dumps(job | {"data_digest": "0" * 64}))
    with pytest.raises(ValueError, match=r"run 'short' was started on data with digest 000000000000.* start a new one"):
        train(resume="short", runs=str(tmp_path))


def test_divergence_is_a_result_with_a_place(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run 'wild' diverged: \w+ in round \d+, first non-finite tensor"):
        train(
            "dcgan-8",
            data=str(digits),
            runs=str(tmp_path),
            name="wild",
            track=False,
            evaluate=False,
            overrides=SMALL
            | {
                "model.game.objective": "wasserstein-gp",
                "model.critic_normalization": "none",
                "model.critic_optimizer.learning_rate": 1e12,
            },
        )
    assert result_of(tmp_path, "wild").diverged is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "name a preset to train"),
        ({"preset": "dcgan-9"}, "there is no preset 'dcgan-9'; did you mean .*dcgan-8"),
        ({"preset": "dcgan-8", "overrides": {"model.latent": 3}}, "model has the fields .*ema_decay"),
        ({"resume": "nobody"}, "there is no run 'nobody' below"),
        ({"resume": "nobody", "preset": "dcgan-8"}, "--resume goes on with the run's own settings"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, digits: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(**{"runs": str(tmp_path), "data": str(digits), **arguments})  # type: ignore[arg-type]
