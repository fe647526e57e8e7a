"""SIGKILL at a random moment: the run that goes on ends with the weights of the run that was never disturbed."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from safetensors.torch import load

from gen_dist.cluster.train import Workers, run_on_ray
from gen_dist.config import override
from gen_dist.data.dataset import open_dataset
from gen_dist.presets import preset
from gen_dist.training.checkpoint import complete_keys
from gen_dist.workflows.job import CHECKPOINTS, Judging, RunJob, create_run, read_result

ROUNDS = 120
SETTINGS = {
    "model.generator_channels": 8,
    "model.critic_channels": 8,
    "training.batch_size": 32,
    "training.num_micro_batches": 2,
    "training.images": ROUNDS * 32,
    "training.rounds_per_report": 5,
    "training.checkpoint_every_images": 320,
    "training.checkpoint_every_seconds": None,
    "training.num_threads": 1,
}


def new_job(digits: Path, runs: Path, name: str) -> RunJob:
    config = override(preset("dcgan-8"), SETTINGS)
    job = RunJob(
        name=name,
        runs=str(runs),
        config=config,
        data=str(digits),
        data_digest=open_dataset(digits).digest,
        judging=None,
    )
    create_run(job)
    return job


def weights_of(job: RunJob) -> str:
    return hashlib.sha256(job.folder.read_bytes("bundle/weights.safetensors")).hexdigest()


def wait_for(condition: Callable[[], bool], alive: Callable[[], bool]) -> None:
    """Poll until something is there; the pause only spares the processor."""
    pause = threading.Event()
    while not condition():
        assert alive(), "the run ended before the moment that the test waits for"
        pause.wait(0.02)


def resume_command(job: RunJob) -> list[str]:
    program = "import sys; from gen_dist.cli import main; sys.exit(main())"
    return [sys.executable, "-c", program, "train", "--resume", job.name, "--runs", job.runs]


def num_checkpoints_ever(job: RunJob) -> int:
    keys = complete_keys(job.folder.child(CHECKPOINTS))
    return int(keys[0]) // 320 if keys else 0


def test_a_driver_killed_twice_resumes_to_the_same_weights(
    digits: Path, tmp_path: Path, child_environment: dict[str, str], undisturbed: RunJob
) -> None:
    killed = new_job(digits, tmp_path, "killed")
    dice = random.Random(0)
    for moment in (dice.randint(1, 4), dice.randint(6, 9)):  # of the twelve checkpoints
        process = subprocess.Popen(
            resume_command(killed),
            env=child_environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: num_checkpoints_ever(killed) >= moment, lambda: process.poll() is None)  # noqa: B023
        process.kill()
        process.wait()
        assert read_result(killed) is None

    answer = subprocess.run(
        resume_command(killed), env=child_environment, check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert "goes on from image" in answer.stdout
    assert weights_of(killed) == weights_of(undisturbed)


@pytest.fixture(scope="module")
def undisturbed(digits: Path, tmp_path_factory: pytest.TempPathFactory, child_environment: dict[str, str]) -> RunJob:
    """The same run, alone and in peace."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = new_job(digits, folder, "undisturbed")
    subprocess.run(resume_command(job), env=child_environment, check=True, cwd=folder, capture_output=True)
    return job


def train_workers() -> list[psutil.Process]:
    """The processes of Ray Train's workers below this one."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]


@pytest.mark.usefixtures("ray_cluster")
def test_a_killed_worker_is_replaced_and_two_workers_learn_what_one_learns(
    digits: Path, tmp_path: Path, undisturbed: RunJob
) -> None:
    console = Console(quiet=True)
    peaceful = new_job(digits, tmp_path, "peaceful")
    assert run_on_ray(peaceful, Workers(2, 2), console).finished

    killed = new_job(digits, tmp_path, "killed")
    moment, fate = random.Random(2).randint(1, 6), random.Random(3)
    victims: list[int] = []

    def assassinate() -> None:
        wait_for(lambda: num_checkpoints_ever(killed) >= moment, lambda: read_result(killed) is None)
        victims.extend(worker.pid for worker in train_workers())
        os.kill(fate.choice(victims), signal.SIGKILL)

    assassin = threading.Thread(target=assassinate)
    assassin.start()
    assert run_on_ray(killed, Workers(2, 2), console).finished
    assassin.join()
    assert len(victims) == 2
    assert weights_of(killed) == weights_of(peaceful)
    one, two = (load(job.folder.read_bytes("bundle/weights.safetensors")) for job in (undisturbed, peaceful))
    for name, tensor in one.items():
        # Float32 sums in another order, amplified by 120 rounds of a game.
        assert (two[name].float() - tensor.float()).abs().max() < 2e-2, name


@pytest.mark.usefixtures("ray_cluster")
def test_a_spare_processor_judges_while_the_run_trains_on(digits: Path, tmp_path: Path) -> None:
    config = override(preset("dcgan-8"), {**SETTINGS, "training.evaluate_every_images": 960})
    job = RunJob(
        name="judged",
        runs=str(tmp_path),
        config=config,
        data=str(digits),
        data_digest=open_dataset(digits).digest,
        judging=Judging(extractor="random", num_samples=200, num_scored=0),
    )
    create_run(job)
    result = run_on_ray(job, Workers(1, 1), Console(quiet=True))
    assert sorted(row["samples_seen"] for row in result.evaluations) == [960, 1920, 2880, 3840]
    assert all(row["frechet_distance"] > 0 for row in result.evaluations)
    assert job.folder.list("judging") == []


def test_more_workers_than_micro_batches_is_refused_before_anything_starts(digits: Path, tmp_path: Path) -> None:
    job = new_job(digits, tmp_path, "crowded")
    with pytest.raises(
        ValueError, match=r"4 workers cannot share 2 micro-batch\(es\): set training\.num_micro_batches"
    ):
        run_on_ray(replace(job), Workers(4, 4), Console(quiet=True))


@pytest.mark.parametrize("text", ["0", "x", "3:2", ":", "1:2:3"])
def test_nonsense_numbers_of_workers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--workers"):
        Workers.parse(text)


def test_ranges_of_workers_are_elastic() -> None:
    assert Workers.parse("2:8").elastic
    assert not Workers.parse("3").elastic
