"""A trial of several workers: what it takes over from another trial, and whether it is the same trial as on one."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from pool import WorkerPool
from rich.console import Console

from gen_dist.commands.import_ import import_dataset
from gen_dist.config import RunConfig, override
from gen_dist.data.dataset import open_dataset
from gen_dist.data.storage import open_storage
from gen_dist.distributed.world import World
from gen_dist.presets import preset
from gen_dist.training.checkpoint import Checkpoint, complete_keys, read_checkpoint
from gen_dist.training.training import Training
from gen_dist.tuning.ledger import Ledger, open_ledger
from gen_dist.tuning.records import TrialRecord
from gen_dist.workflows.job import Judging
from gen_dist.workflows.study import StudySettings, new_study, terms_of
from gen_dist.workflows.trial import News, TrialJob, run_trial, with_origin

SMALL = {
    "model.generator_channels": 4,
    "model.critic_channels": 4,
    "training.batch_size": 16,
    "training.num_micro_batches": 2,
    "training.rounds_per_report": 1,
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Of a population whose first trial has trained for two evaluations, on two workers or one alike."""
    folder = tmp_path_factory.mktemp("population")
    import_dataset("digits", str(folder / "digits"))
    return new_study(
        "population",
        open_storage(folder / "study"),
        "dcgan-8",
        override(preset("dcgan-8"), SMALL),
        open_dataset(folder / "digits"),
        StudySettings(space="quick", scheduler="pbt", images_per_trial=64, evaluations=2, num_trials=2),
        judging=Judging(split="validation", extractor="random", num_samples=64),
        experiment=None,
        register="",
        console=Console(quiet=True),
    )


def job_of(ledger: Ledger, record: TrialRecord) -> TrialJob:
    study = ledger.study
    judging = terms_of(ledger.storage).judging
    return TrialJob(
        study=ledger.storage.uri, record=record, data=study.data_uri, data_digest=study.data_digest, judging=judging
    )


def on_workers(job: TrialJob) -> TrialRecord:
    device = torch.device("cpu")
    torch.set_num_threads(1)
    return run_trial(job, device=device, world=World.current(device))


def checkpoints(ledger: Ledger, trial: str) -> list[Checkpoint]:
    """Oldest first."""
    folder = ledger.storage.child(f"trials/{trial}/checkpoints")
    return [read_checkpoint(folder, key) for key in reversed(complete_keys(folder))]


def test_an_exploit_moves_weights_and_moments_to_every_worker(pool: WorkerPool, ledger: Ledger) -> None:
    base = ledger.study.base_config
    pool.run(on_workers, job_of(ledger, TrialRecord(id="winner", number=0, values={}, config=base)), workers=2)
    first, last = checkpoints(ledger, "winner")
    assert first.num_workers == 2
    assert first.digest != last.digest, "it trained in between"

    origin = f"{ledger.storage.uri}/trials/winner/checkpoints/{first.key}"
    faster: Any = {"model.generator_optimizer.learning_rate": 0.01}
    loser = TrialRecord(
        id="loser",
        number=1,
        values={},
        config=override(RunConfig.from_json(base), faster).to_json(),
        checkpoint=origin,
        parent="winner",
        parent_checkpoint=origin,
    )
    pool.run(on_workers, job_of(ledger, loser), workers=2)
    after = open_ledger(ledger.storage).trial("loser")
    assert after.state == "finished"
    assert after.parent_digest == first.digest, "it began with other weights or moments than the winner's"
    (end,) = checkpoints(ledger, "loser")
    assert end.moment == last.moment, "it went on from the winner's moment"
    assert end.digest != last.digest, "it learns at its own rate"
    assert end.history[: len(first.history)] == first.history

    same = replace(loser, id="same", config=base)
    pool.run(on_workers, job_of(ledger, same), workers=2)
    assert checkpoints(ledger, "same")[0].digest == last.digest, "nothing but weights and moments decides the rest"


def test_a_trial_that_holds_other_moments_is_not_taken_for_its_parent(pool: WorkerPool, ledger: Ledger) -> None:
    record = TrialRecord(id="source", number=2, values={}, config=ledger.study.base_config)
    pool.run(on_workers, job_of(ledger, record), workers=1)
    checkpoint = checkpoints(ledger, "source")[0]
    moments = {name: tensor * 2 for name, tensor in checkpoint.tensors["optimizers"].items()}
    other = replace(checkpoint, tensors={**checkpoint.tensors, "optimizers": moments})
    assert other.digest != checkpoint.digest
    config = RunConfig.from_json(record.config)
    stream = open_dataset(ledger.study.data_uri).stream("train", seed=config.seed)
    fresh = Training(config.model, config.training, config.seed, stream)
    taken = replace(record, checkpoint="winner", parent_checkpoint="winner")
    with pytest.raises(RuntimeError, match="does not hold its weights and moments"):
        with_origin(taken, fresh, checkpoint)
    stream.close()


def test_a_trial_that_was_lost_after_its_end_still_says_what_it_reached(ledger: Ledger) -> None:
    """Ray Tune takes a trial that says nothing at all for a mistake of ours, and ends the study."""
    news: list[News] = []
    record = TrialRecord(id="late", number=2, values={}, config=ledger.study.base_config)
    once = run_trial(job_of(ledger, record), news.append, device=torch.device("cpu"))
    last = news.pop().record
    assert last.state == "running"
    news.clear()
    again = run_trial(job_of(ledger, last), news.append, device=torch.device("cpu"))
    assert [(told.record.score, told.evaluation) for told in news] == [(once.score, {})]
    assert again == once
