"""A whole study through the command that people type: killed, resumed, reported, registered."""

import io
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from gen_dist.cluster.session import Resources
from gen_dist.cluster.study import run_study
from gen_dist.config import RunConfig, override
from gen_dist.data.dataset import open_dataset
from gen_dist.data.storage import Storage, open_storage
from gen_dist.presets import preset
from gen_dist.tracking.registry import load_registered
from gen_dist.tracking.tracker import NoTracker
from gen_dist.training.checkpoint import read_checkpoint
from gen_dist.tuning.ledger import Ledger, open_ledger
from gen_dist.tuning.records import TrialRecord
from gen_dist.workflows.job import Judging
from gen_dist.workflows.study import SchedulerName, StudySettings, new_study

SMALL = {"model.generator_channels": 8, "model.critic_channels": 8, "training.batch_size": 32}
PROGRAM = "import sys; from gen_dist.cli import main; sys.exit(main())"
NUM_TRIALS = 4
IMAGES = 3_200


def tune_command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, "tune", *arguments]


def wait_for(condition: Callable[[], bool], alive: Callable[[], bool]) -> None:
    """Poll until something is there; the pause only spares the processor."""
    pause = threading.Event()
    while not condition():
        assert alive(), "the study ended before the moment that the test waits for"
        pause.wait(0.05)


def trials_of(studies: Path) -> tuple[TrialRecord, ...]:
    folder = studies / "killed"
    return open_ledger(open_storage(folder)).trials() if (folder / "study.json").exists() else ()


@pytest.mark.timeout(600)
def test_a_killed_study_goes_on_from_its_ledger(
    digits: Path, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    environment = {**child_environment, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    settings = [f"--{path}={value}" for path, value in SMALL.items()]
    limits = [f"--images={IMAGES}", "--confirm=1", f"--confirm-images={IMAGES}", "--seeds=2", "--num-samples=200"]
    start = tune_command(
        f"--data={digits}", "--name=killed", f"--trials={NUM_TRIALS}", "--scheduler=none", *limits, *settings
    )
    process = subprocess.Popen(
        start, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    studies = tmp_path / "studies"
    wait_for(lambda: any(t.state == "finished" for t in trials_of(studies)), lambda: process.poll() is None)
    process.kill()
    process.wait()
    before = {trial.id: trial for trial in trials_of(studies)}
    finished = {name for name, trial in before.items() if trial.state == "finished"}
    assert finished
    assert len(finished) < NUM_TRIALS

    resume = tune_command("--resume=killed")
    answer = subprocess.run(resume, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    after = {trial.id: trial for trial in trials_of(studies)}
    assert len(after) == NUM_TRIALS
    assert all(trial.state == "finished" and trial.outcome is not None for trial in after.values())
    assert all(after[name] == before[name] for name in finished), "a finished trial was run again"
    assert all(after[name].values == trial.values for name, trial in before.items()), "a proposed trial was lost"

    report = (studies / "killed" / "report.html").read_text()
    assert all(trial.id in report for trial in after.values())
    assert "registered gen-dist-digits version 1 as @champion" in answer.stdout
    assert "mind: worse than a Gaussian fitted to the pixels" in answer.stdout  # after so few images
    champion = load_registered("models:/gen-dist-digits@champion", tracking_uri=environment["MLFLOW_TRACKING_URI"])
    assert tuple(champion.sample(3, seed=0).shape) == (3, 1, 8, 8)


def population(
    digits: Path,
    folder: Path,
    *,
    scheduler: SchedulerName = "pbt",
    num_trials: int = 4,
    images: int = 12_800,
    confirm: int = 1,
    **changes: Any,
) -> Ledger:
    base = override(preset("dcgan-8"), {**SMALL, **changes})
    return new_study(
        "population",
        open_storage(folder),
        "dcgan-8",
        base,
        open_dataset(digits),
        StudySettings(
            space="quick",
            dimensions=("objective=preset", "critic_normalization=preset", "generator_learning_rate=1e-5:1e-2:log"),
            searcher="random",
            scheduler=scheduler,
            num_trials=num_trials,
            images_per_trial=images,
            confirm=confirm,
            num_seeds=1,
            confirm_images=640,
        ),
        judging=Judging(split="validation", num_samples=200),
        experiment=None,
        register="",
        console=Console(quiet=True),
    )


@pytest.mark.usefixtures("ray_cluster")
def test_a_population_copies_weights_and_moments_and_changes_only_what_may_change(digits: Path, tmp_path: Path) -> None:
    run_population(population(digits, tmp_path / "population"), Resources(cpus=0.5))


@pytest.mark.study
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("ray_cluster")
def test_a_population_of_trials_with_two_workers_each(digits: Path, tmp_path: Path) -> None:
    """Room for two trials at once of four: the others wait for a whole place, and nothing waits for ever."""
    changes = {"training.num_micro_batches": 2}
    run_population(population(digits, tmp_path / "population", **changes), Resources(cpus=0.5, workers=2))


def run_population(ledger: Ledger, resources: Resources) -> None:
    """Run it, and check by digest what its trials took over."""
    ctrl_c = signal.getsignal(signal.SIGINT)
    run_study(ledger, NoTracker(), Console(quiet=True), resources=resources, seconds=None)
    assert signal.getsignal(signal.SIGINT) is ctrl_c, "what Tune does at Ctrl-C stays after it"
    trials = {trial.id: trial for trial in ledger.trials()}
    assert {trial.state for trial in trials.values()} == {"finished"}, [
        (t.id, t.state, t.error) for t in trials.values()
    ]
    taken_over = [trial for trial in trials.values() if trial.parent is not None]
    assert taken_over, "no trial took over another's weights: the population was a random search"
    for trial in taken_over:
        config, base = (RunConfig.from_json(text) for text in (trial.config, ledger.study.base_config))
        assert config.model.generator_channels == base.model.generator_channels
        assert config.training == base.training
        assert trial.checkpoint is not None
        assert trial.parent_checkpoint is not None
        assert trial.parent != trial.id
        assert f"/trials/{trial.parent}/" in trial.parent_checkpoint
        origin = read_checkpoint(*located(trial.parent_checkpoint))
        assert trial.parent_digest == origin.digest, "it went on with other weights or moments than the winner's"
        assert origin.tensors["optimizers"], "there are moments to move"
        newest = read_checkpoint(*located(trial.checkpoint))
        assert newest.num_workers == origin.num_workers == resources.workers
        assert newest.history[: len(origin.history)] == origin.history, "it did not live on as the winner"
    assert all(run.state == "finished" for run in ledger.confirmations())


def located(checkpoint: str) -> tuple[Storage, str]:
    folder, key = checkpoint.rsplit("/", 1)
    return open_storage(folder), key


@pytest.mark.usefixtures("ray_cluster")
def test_a_lost_process_costs_no_trial_and_a_mistake_is_not_made_twice(digits: Path, tmp_path: Path) -> None:
    """Each trial has two workers, and the second one is lost: the first one sees but a closed connection."""
    changes = {"training.num_micro_batches": 2, "training.rounds_per_report": 5}
    ledger = population(digits, tmp_path / "lost", scheduler="none", num_trials=2, images=IMAGES, confirm=0, **changes)
    ledger.write_trial(TrialRecord(id="t0000", number=0, values={}, config=preset("dcgan-8").to_json()))
    console = Console(file=io.StringIO(), width=500)

    def evaluated() -> bool:
        return any(trial.id == "t0001" and trial.evaluations for trial in ledger.trials())

    def assassinate() -> None:
        wait_for(evaluated, study.is_alive)
        for child in psutil.Process().children(recursive=True):
            if "ray::_attend" in " ".join(child.cmdline()):
                child.kill()

    assassin = threading.Thread(target=assassinate)
    study = threading.current_thread()
    assassin.start()
    run_study(ledger, NoTracker(), console, resources=Resources(workers=2), seconds=None)
    assassin.join()
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    mistaken, lost = ledger.trials()
    assert mistaken.state == "failed"
    assert mistaken.error is not None
    assert "2 workers cannot share 1 micro-batch(es)" in mistaken.error
    assert "t0000  was interrupted" not in said
    assert re.search(r"t0001  was interrupted \(LostWorkerError: .*\); it goes on from image [1-9]", said)
    assert (lost.state, lost.error) == ("finished", None)
    assert lost.spent.images >= IMAGES
    images = [row["samples_seen"] for row in lost.evaluations]
    assert images == sorted(set(images)), "an evaluation came twice"
    assert len(images) > 2


def test_a_preset_without_a_critic_is_refused(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'vae-8' has no critic"):
        new_study(
            "study",
            open_storage(tmp_path),
            "vae-8",
            preset("vae-8"),
            open_dataset(digits),
            StudySettings(space="quick"),
            judging=Judging(split="validation"),
            experiment=None,
            register="",
            console=Console(quiet=True),
        )


def test_random_trials_are_the_same_after_a_resume(digits: Path, tmp_path: Path) -> None:
    from gen_dist.cluster.searching import LedgerSearcher

    first = population(digits, tmp_path / "one")
    second = population(digits, tmp_path / "two")
    base = RunConfig.from_json(first.study.base_config)
    whole = LedgerSearcher(first, base)
    drawn = [whole.suggest(f"tune_{number}") for number in range(4)]
    half = LedgerSearcher(second, base)
    for number in range(2):
        half.suggest(f"tune_{number}")
        trial = second.trial(f"t{number:04d}")
        second.write_trial(replace(trial, state="finished", score=random.Random(number).random()))
    rest = LedgerSearcher(second, base)
    assert [rest.suggest(f"again_{number}") for number in range(2)] == drawn[2:]
    assert rest.suggest("again_2") == LedgerSearcher.FINISHED
