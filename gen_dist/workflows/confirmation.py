"""Confirming a configuration: training it again from a fresh seed, and judging it on data the search never saw."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch

from gen_dist.bundle.bundle import copy_bundle, save_bundle
from gen_dist.config import RunConfig
from gen_dist.data.storage import Storage
from gen_dist.distributed.world import World
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.learner import Learner
from gen_dist.models.gan.game import objective_of
from gen_dist.training.checkpointing import CheckpointWriter, agreed_checkpoint
from gen_dist.training.fit import Keeping, Request, fit
from gen_dist.training.training import Diverged, Row, Training
from gen_dist.tuning.diagnosis import diagnose
from gen_dist.tuning.ledger import confirmation_folder
from gen_dist.tuning.outcome import Divergence
from gen_dist.tuning.records import ConfirmationRecord, Spent
from gen_dist.workflows.foundation import set_out
from gen_dist.workflows.job import BUNDLE, CHECKPOINTS, Judging
from gen_dist.workflows.pictures import sample_sheet
from gen_dist.workflows.study_place import study_at
from gen_dist.workflows.trial import SHEET, judge_of, opened

EVALUATION = "evaluation.json"
SELECTION_PREFIX = "search_split/"
"""Before the figures of the split that the search used: they may choose between seeds, the others may not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmationJob:
    """What a confirmation run's process is asked to do.

    Attributes:
        study: URI of the study's folder.
        record: the run as it stands in the ledger.
        data: URI of the dataset.
        data_digest: of the dataset.
        judging: how it is judged, on the split that the search never used.
        selecting: the same on the search's split.
        seconds: training time after which it ends although images are left, or None.
    """

    study: str
    record: ConfirmationRecord
    data: str
    data_digest: str
    judging: Judging
    selecting: Judging
    seconds: float | None = None


def run_confirmation(job: ConfirmationJob, *, device: torch.device, world: World | None = None) -> ConfirmationRecord:
    """Train and judge; the model, its sheet, its evaluation and its record lie in the run's folder afterwards.

    Every worker of the run calls this; worker 0 judges and writes.
    """
    world = World(device=device) if world is None else world
    dataset = opened(job.data, job.data_digest)
    config = RunConfig.from_json(job.record.config)
    stream = dataset.stream("train", seed=config.seed, pin_memory=device.type == "cuda")
    try:
        training = Training(config.model, config.training, config.seed, stream, world=world, device=device)
        return Confirmation(job, config, training, device).run()
    finally:
        stream.close()


@final
class Confirmation:
    """A confirmation run while it runs."""

    def __init__(self, job: ConfirmationJob, config: RunConfig, training: Training, device: torch.device) -> None:
        self.job, self.config, self.training, self.device = job, config, training, device
        self.ledger = study_at(job.study)
        self.record = replace(job.record, state="running")

    @property
    def folder(self) -> Storage:
        """The run's folder in the study."""
        return self.ledger.storage.child(confirmation_folder(self.record.trial_id, self.record.seed))

    def run(self) -> ConfirmationRecord:
        """Train to the end of the budget, judge, write down."""
        checkpoints, main = self.folder.child(CHECKPOINTS), self.training.world.rank == 0
        set_out(self.training, self.config, agreed_checkpoint(checkpoints, self.training.world))
        if main:
            self.ledger.write_confirmation(self.record)
        writer = CheckpointWriter(checkpoints, keep=1) if main else None
        keeping = Keeping(writer=writer, config=self.record.config, data_digest=self.job.data_digest)
        divergence = None
        try:
            fit(self.training, keeping=keeping, ask=self._ask)
        except Diverged as diverged:
            divergence = Divergence.from_facts(diverged.facts())
        finally:
            if writer is not None:
                writer.close()
        if not main:
            return self.record
        self.record = self._judged() if divergence is None else self._broken(divergence)
        self.ledger.write_confirmation(self.record)
        return self.record

    def _ask(self) -> Request:
        spent = self.job.seconds is not None and self.training.seconds >= self.job.seconds
        return Request.STOP if spent else Request.NOTHING

    def _judged(self) -> ConfirmationRecord:
        job, ema = self.job, bool(self.training.state.ema.weights)
        learner = self.training.evaluation_copy()
        record = judge_of(job.data, job.data_digest, job.judging, self.device).evaluate(learner, ema=ema)
        selecting = judge_of(job.data, job.data_digest, job.selecting, self.device).evaluate(learner, ema=ema)
        self.folder.write_bytes(EVALUATION, record.to_json(indent=1).encode())
        self._keep(learner)
        metrics = dict(record.metrics) | {SELECTION_PREFIX + name: v for name, v in selecting.metrics.items()}
        return self._ended(
            [{"samples_seen": float(self.training.moment.samples_seen), **record.metrics}], record, metrics
        )

    def _broken(self, divergence: Divergence) -> ConfirmationRecord:
        return self._ended([], None, {}, divergence)

    def _ended(
        self,
        evaluations: list[Row],
        record: EvaluationRecord | None,
        metrics: dict[str, float],
        divergence: Divergence | None = None,
    ) -> ConfirmationRecord:
        anchors = {} if record is None else dict(record.anchors)
        return replace(
            self.record,
            state="finished",
            spent=Spent(
                updates=dict(self.training.state.updates),
                images=self.training.moment.samples_seen,
                seconds=self.training.seconds,
            ),
            metrics=metrics,
            anchors=anchors,
            outcome=diagnose(
                self.training.history,
                evaluations,
                objective=objective_of(self.config.model),
                anchors=anchors,
                divergence=divergence,
            ),
            sample_sheet=f"{confirmation_folder(self.record.trial_id, self.record.seed)}/{SHEET}" if record else None,
        )

    def _keep(self, learner: Learner) -> None:
        """The model and its sheet."""
        dataset = opened(self.job.data, self.job.data_digest)
        picture = sample_sheet(learner, dataset, "test")
        if picture is not None:
            self.folder.write_bytes(SHEET, picture.png)
        provenance = {
            "study": self.ledger.study.name,
            "trial": self.record.trial_id,
            "seed": self.record.seed,
            "data": self.job.data,
            "data_digest": self.job.data_digest,
            "config": self.record.config,
        }
        with tempfile.TemporaryDirectory() as scratch:
            local = Path(scratch) / BUNDLE
            save_bundle(learner, self.config.model, dataset.spec, provenance, local)
            copy_bundle(local, self.folder.child(BUNDLE).uri)
