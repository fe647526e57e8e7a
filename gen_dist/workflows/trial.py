"""One trial of a search: trains a configuration, is judged as it goes, and writes down all that the study must know."""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import final

import torch

from gen_dist.config import RunConfig
from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.distributed.world import World
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.learner import Learner
from gen_dist.models.gan.game import objective_of
from gen_dist.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    capture,
    complete_keys,
    read_checkpoint,
    write_checkpoint,
)
from gen_dist.training.checkpointing import agreed_checkpoint
from gen_dist.training.fit import Keeper, Keeping, Observers, fit
from gen_dist.training.training import Diverged, Row, Training
from gen_dist.tuning.diagnosis import diagnose
from gen_dist.tuning.ledger import trial_folder
from gen_dist.tuning.outcome import Divergence
from gen_dist.tuning.records import Spent, TrialRecord
from gen_dist.tuning.score import WORST_SCORE, stability_score
from gen_dist.tuning.trace import thin
from gen_dist.workflows.foundation import set_out
from gen_dist.workflows.job import CHECKPOINTS, Judging
from gen_dist.workflows.judging import make_judge
from gen_dist.workflows.pictures import sample_sheet
from gen_dist.workflows.study_place import PATIENCE_SECONDS, study_at, study_folder

SHEET = "samples.png"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialJob:
    """What a trial's process is asked to do.

    Attributes:
        study: URI of the study's folder.
        record: the trial as it stands in the ledger.
        data: URI of the dataset.
        data_digest: of the dataset.
        judging: how it is evaluated.
    """

    study: str
    record: TrialRecord
    data: str
    data_digest: str
    judging: Judging


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What a trial has to tell after an evaluation.

    Attributes:
        record: the trial as it now stands in the ledger.
        rows: reports since the last news.
        evaluation: the newest evaluation; empty at a divergence.
    """

    record: TrialRecord
    rows: list[Row] = field(default_factory=list)
    evaluation: Row = field(default_factory=dict)


def tell_nobody(_news: News) -> None:
    """Nobody is told."""


def run_trial(
    job: TrialJob, tell: Callable[[News], None] = tell_nobody, *, device: torch.device, world: World | None = None
) -> TrialRecord:
    """Train a trial to the end of its budget, or to where it diverges, and return its record.

    It goes on from the checkpoint that its record names, or else from its own newest one. Every worker of the trial
    calls this; worker 0 judges, writes and tells.

    Args:
        job: which trial.
        tell: called after every evaluation, when record, sample sheet and checkpoint are written.
        device: where to train.
        world: the trial's workers.

    Raises:
        RuntimeError: what a worker holds is not what the checkpoint of the trial's parent holds.
    """
    world = World(device=device) if world is None else world
    dataset = opened(job.data, job.data_digest)
    config = RunConfig.from_json(job.record.config)
    stream = dataset.stream("train", seed=config.seed, pin_memory=device.type == "cuda")
    try:
        training = Training(config.model, config.training, config.seed, stream, world=world, device=device)
        checkpoint = starting_point(job, world)
        set_out(training, config, checkpoint)
        job = replace(job, record=with_origin(job.record, training, checkpoint))
        if world.rank > 0:
            return follow(job, training)
        judge = judge_of(job.data, job.data_digest, job.judging, device)
        return Trial(job, config, training, judge, tell).run(checkpoint)
    finally:
        stream.close()


def follow(job: TrialJob, training: Training) -> TrialRecord:
    """What the other workers do: the same steps, nothing written."""
    with suppress(Diverged):  # worker 0 says so
        fit(training, keeping=_keeping(job, None))
    return job.record


@final
class Trial:
    """A trial while it runs."""

    def __init__(
        self, job: TrialJob, config: RunConfig, training: Training, judge: Evaluator, tell: Callable[[News], None]
    ) -> None:
        self.job, self.config, self.training, self.judge, self.tell = job, config, training, judge, tell
        self.record = replace(job.record, state="running", error=None)
        self.ledger = study_at(job.study)
        self._evaluations: list[Row] = []
        self._rows: list[Row] = []
        self._sheet: bytes | None = None
        self._told = False

    def run(self, checkpoint: Checkpoint | None) -> TrialRecord:
        """Train to the end."""
        if checkpoint is not None:
            self._evaluations = list(checkpoint.evaluations)
        self.ledger.write_trial(self.record)
        try:
            fit(
                self.training,
                keeping=_keeping(self.job, self),
                evaluate=self._judge,
                evaluations=self._evaluations,
                observers=Observers(report=self._rows.append, evaluation=self._draw),
            )
        except Diverged as diverged:
            self.record = replace(self._current(), state="finished", score=WORST_SCORE)
            self.record = concluded(
                self.record, self.config, self.ledger.study.anchors, Divergence.from_facts(diverged.facts())
            )
            self.ledger.write_trial(self.record)
            self._tell(News(record=self.record, rows=list(self._rows)))
            return self.record
        self.record = concluded(self._current(), self.config, self.ledger.study.anchors)
        self.ledger.write_trial(self.record)
        if not self._told:  # its process was lost after the last checkpoint, and nothing was left to train
            self._tell(News(record=self.record))
        return self.record

    def _tell(self, news: News) -> None:
        self._told = True
        self.tell(news)

    def _judge(self, learner: Learner, _moment: object) -> Row:
        return dict(self.judge.evaluate(learner, ema=bool(self.training.state.ema.weights)).metrics)

    def _draw(self, _row: Row, learner: Learner) -> None:
        """The sample sheet of what was judged."""
        picture = sample_sheet(learner, opened(self.job.data, self.job.data_digest), self.job.judging.split)
        self._sheet = None if picture is None else picture.png

    def submit(self, checkpoint: Checkpoint) -> None:
        """Write checkpoint, sheet and record, in this order: the record names the other two. Then tell."""
        folder = self.ledger.storage.child(trial_folder(self.record.id))
        checkpoints = folder.child(CHECKPOINTS)
        key = write_checkpoint(checkpoints, checkpoint)
        if self._sheet is not None:
            folder.write_bytes(SHEET, self._sheet)
        self.record = replace(
            self._current(),
            checkpoint=f"{checkpoints.uri}/{key}",
            sample_sheet=None if self._sheet is None else f"{trial_folder(self.record.id)}/{SHEET}",
        )
        self.ledger.write_trial(self.record)
        if self.ledger.study.scheduler != "pbt":  # in a population, another trial may go on from any of them
            for old in complete_keys(checkpoints)[self.config.training.keep_checkpoints :]:
                checkpoints.delete(old)
        self._tell(News(record=self.record, rows=list(self._rows), evaluation=self._evaluations[-1]))
        self._rows.clear()

    def _current(self) -> TrialRecord:
        return replace(
            self.record,
            spent=Spent(
                updates=dict(self.training.state.updates),
                images=self.training.moment.samples_seen,
                seconds=self.training.seconds,
            ),
            trace=thin(self.training.history),
            evaluations=tuple(self._evaluations),
            score=stability_score(self._evaluations),
        )


def concluded(
    record: TrialRecord,
    config: RunConfig,
    anchors: dict[str, float],
    divergence: Divergence | None = None,
    *,
    stopped_early: bool = False,
) -> TrialRecord:
    """The record of a trial that has ended, with its diagnosis."""
    objective = objective_of(config.model)
    outcome = diagnose(record.trace, record.evaluations, objective=objective, anchors=anchors, divergence=divergence)
    broken = record.score is None or outcome.kind == "diverged"  # numbers may explode before they stop being finite
    score = WORST_SCORE if broken else record.score
    stopped_early = stopped_early and record.spent.images < config.training.images
    return replace(
        record, state="finished", outcome=outcome, score=score, stopped_early=stopped_early, error=None
    )  # it may have been interrupted on the way


def with_origin(record: TrialRecord, training: Training, checkpoint: Checkpoint | None) -> TrialRecord:
    """The record of a trial that goes on in another's place says what it holds, once every worker holds the same.

    Raises:
        RuntimeError: a worker does not hold the weights and moments of the checkpoint.
    """
    if checkpoint is None or record.checkpoint is None or record.checkpoint != record.parent_checkpoint:
        return record
    held = capture(training, config=record.config, data_digest=checkpoint.data_digest, evaluations=[]).digest
    (astray,) = training.world.any(held != checkpoint.digest)
    if astray:
        raise RuntimeError(
            f"trial {record.id} took over {record.checkpoint} and does not hold its weights and moments on every worker"
        )
    return replace(record, parent_digest=held)


def starting_point(job: TrialJob, world: World) -> Checkpoint | None:
    """Where the trial goes on: the checkpoint that its record names, else its own newest sound one, else the start.

    Raises:
        CheckpointError: it took over another trial's checkpoint, or went on from there, and that one is damaged.
    """
    record = job.record
    if record.checkpoint is not None:
        folder, key = record.checkpoint.rsplit("/", 1)
        named = None
        with nullcontext() if record.parent_checkpoint is not None else suppress(CheckpointError):
            named = read_checkpoint(study_folder(folder), key)
        (damaged,) = world.any(named is None)
        if not damaged:
            return named
    return agreed_checkpoint(study_folder(job.study).child(trial_folder(record.id)).child(CHECKPOINTS), world)


def _keeping(job: TrialJob, writer: Keeper | None) -> Keeping:
    return Keeping(writer=writer, config=job.record.config, data_digest=job.data_digest, when_judged=True)


@lru_cache(maxsize=2)
def opened(data: str, digest: str) -> Dataset:
    """The dataset, kept by a process that runs many trials.

    Raises:
        ValueError: it is not the one that the study began with.
    """
    dataset = open_dataset(data, patience_seconds=PATIENCE_SECONDS)
    if dataset.digest != digest:
        raise ValueError(f"{data} has changed since the study began: digest {dataset.digest[:12]}, was {digest[:12]}")
    return dataset


@lru_cache(maxsize=4)
def judge_of(data: str, digest: str, judging: Judging, device: torch.device) -> Evaluator:
    """The evaluator, kept by a process that runs many trials: features of the data are computed once."""
    return make_judge(judging, opened(data, digest), device)
