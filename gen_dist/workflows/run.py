"""What every worker of a run does, whether Ray started it or it is the only one."""

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import final

import torch
from rich.console import Console

from gen_dist.config import paths
from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.distributed.world import World
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.learner import Learner
from gen_dist.models.table import family_of
from gen_dist.serialization import to_json
from gen_dist.tracking.lineage import describe_phases
from gen_dist.tracking.tracker import DatasetRecord, NoTracker, RunStatus, Tracker
from gen_dist.training.checkpoint import Checkpoint
from gen_dist.training.checkpointing import CheckpointWriter, agreed_checkpoint, always
from gen_dist.training.clock import Clock
from gen_dist.training.fit import FitResult, Keeping, Observers, Request, ask_nothing, fit
from gen_dist.training.training import Diverged, Row, Training
from gen_dist.types import Moment
from gen_dist.workflows.elsewhere import Elsewhere, Pending, here_only
from gen_dist.workflows.foundation import set_out
from gen_dist.workflows.job import BUNDLE, CHECKPOINTS, RESULT, SAMPLES, RunJob, RunResult
from gen_dist.workflows.judging import judge_of_a_run
from gen_dist.workflows.ownership import OvertakenError, Ownership
from gen_dist.workflows.pictures import sample_sheet
from gen_dist.workflows.progress import RunProgress
from gen_dist.workflows.selection import Selection, keep_bundle
from gen_dist.workflows.stop_request import StopRequestWatch


def work(
    job: RunJob,
    *,
    world: World,
    device: torch.device,
    tracker: Tracker | None = None,
    ask: Callable[[], Request] = ask_nothing,
    console: Console | None = None,
    elsewhere: Elsewhere = here_only,
    ownership: Ownership | None = None,
    clock: Clock = time.perf_counter,
) -> RunResult:
    """Take a run from where it is to its end; every worker of it calls this and gets the same answer.

    Args:
        job: the run; it goes on from its newest sound checkpoint when there is one.
        world: the workers.
        device: of this worker.
        tracker: whom worker 0 tells.
        ask: what the outside wants of this worker.
        console: where worker 0 shows progress.
        elsewhere: judges models on processors that are spare while worker 0 trains on.
        ownership: the claim on the run under which worker 0 writes; None when nobody else can know of the run.
        clock: what the time spent training is counted with.

    Raises:
        ValueError: the run, its data or its checkpoints don't fit each other.
        OvertakenError: another process has gone on with the run.
    """
    dataset = open_dataset(job.data)
    if dataset.digest != job.data_digest:
        raise ValueError(
            f"run {job.name!r} was started on data with digest {job.data_digest[:12]}, {job.data} now has "
            f"{dataset.digest[:12]}: a run never goes on with other data; start a new one"
        )
    config = job.config
    stream = dataset.stream(
        "train", seed=config.seed, memory_budget_bytes=job.memory_budget_bytes, pin_memory=device.type == "cuda"
    )
    try:
        training = Training(config.model, config.training, config.seed, stream, world=world, device=device, clock=clock)
        checkpoint = agreed_checkpoint(job.folder.child(CHECKPOINTS), world)
        set_out(training, config, checkpoint)
        if world.rank > 0:
            return _follow(job, training, ask)
        judge = judge_of_a_run(job.judging, training.state.learner, dataset, device, console)
        tracker = tracker or NoTracker()
        lead = Lead(job, training, dataset, judge, tracker, console or Console(), elsewhere, ownership)
        try:
            return lead.run(checkpoint, ask)
        except (OSError, ValueError) as error:
            if not isinstance(error, OvertakenError):  # then the run goes on elsewhere
                with suppress(ValueError):  # it had not begun
                    tracker.finish("FAILED", timeout_seconds=5.0)
            raise
    finally:
        stream.close()


@final
class Lead:
    """Worker 0: it decides by the clock, evaluates, writes and tells."""

    def __init__(
        self,
        job: RunJob,
        training: Training,
        dataset: Dataset,
        judge: Evaluator | None,
        tracker: Tracker,
        console: Console,
        elsewhere: Elsewhere,
        ownership: Ownership | None,
    ) -> None:
        self.job, self.training, self.dataset = job, training, dataset
        self.judge, self.tracker, self.console = judge, tracker, console
        self.record: EvaluationRecord | None = None
        selecting = job.judging is not None and job.judging.select
        self.selection = Selection(job, dataset) if selecting else None
        self._elsewhere = elsewhere
        self._permit = always if ownership is None else partial(ownership.check, job.folder)
        self._evaluations: list[Row] = []
        self._pending: list[Pending] = []
        self._seconds_before = training.seconds  # of the incarnations before this one: a budget is each one's own
        self._watch = StopRequestWatch(job.folder)

    def run(self, checkpoint: Checkpoint | None, ask: Callable[[], Request]) -> RunResult:
        """Train to the end, or to where it diverges or is stopped; write down how it ended."""
        self._introduce(checkpoint)
        self._evaluations = [] if checkpoint is None else list(checkpoint.evaluations)
        self._permit()
        keep = self.job.config.training.keep_checkpoints
        writer = CheckpointWriter(self.job.folder.child(CHECKPOINTS), keep=keep, permit=self._permit)
        with RunProgress(self.job.name, self.job.config.training.images, self.console) as progress, self._watch:
            observers = Observers(
                report=lambda row: self._tell(row, progress),
                evaluation=lambda row, learner: self._tell_evaluation(row, learner, progress),
                checkpoint=self.tracker.flush,
            )
            try:
                result = self._ended(
                    fit(
                        self.training,
                        keeping=_keeping(self.job, writer),
                        evaluate=None if self.judge is None else self._judge,
                        evaluations=self._evaluations,
                        observers=observers,
                        ask=lambda: self._request(ask, progress),
                    )
                )
            except Diverged as diverged:
                result = self._diverged(diverged)
            finally:
                writer.close()
        self._write_down(result)
        return result

    def _introduce(self, checkpoint: Checkpoint | None) -> None:
        """Tell the tracker what this run is; after a resume also its history, of which nothing arrives twice."""
        config, data, tracker = self.job.config, self.job.data, self.tracker
        tracker.start()
        tracker.set_tags(self.job.tags)
        tracker.log_params({**paths(config), "family": family_of(config.model).name, "data": data})
        digest = self.dataset.digest
        tracker.log_dataset(DatasetRecord(name=data.rstrip("/").rsplit("/", 1)[-1], digest=digest, uri=data))
        tracker.log_text(describe_phases(self.training.state.learner), "phases.txt")
        tracker.log_text(config.to_json(), "config.json")
        if checkpoint is None:
            return
        self.console.print(f"{self.job.name} goes on from image {checkpoint.moment.samples_seen:,}", highlight=False)
        for row in [*checkpoint.history, *checkpoint.evaluations]:
            self._log(row)

    def _log(self, row: Row) -> None:
        self.tracker.log_metrics(int(row["samples_seen"]), {k: v for k, v in row.items() if k != "samples_seen"})

    def _tell(self, row: Row, progress: RunProgress) -> None:
        progress.report(row)
        self._log(row)
        self._collect(progress, wait=self.training.finished)

    def _collect(self, progress: RunProgress, *, wait: bool) -> None:
        """Take in what was judged elsewhere meanwhile; at the end of the run, all of it."""
        for pending in list(self._pending):
            record = pending.answer(wait=wait)
            if record is None:
                continue
            self._pending.remove(pending)
            row = {"samples_seen": pending.samples_seen, "seconds": pending.seconds, **record.metrics}
            self._evaluations.append(row)
            self._tell_evaluation(row, pending.learner, progress)

    def _tell_evaluation(self, row: Row, learner: Learner, progress: RunProgress) -> None:
        progress.evaluation(row)
        self._log({name: value for name, value in row.items() if name != "seconds"})
        assert self.job.judging is not None, "fit evaluates only with a judge"
        picture = sample_sheet(learner, self.dataset, self.job.judging.split)
        if picture is not None:
            key = f"{SAMPLES}/{int(row['samples_seen']):012d}.png"
            self.tracker.log_image(picture.image, key)
            try:
                self.job.folder.write_bytes(key, picture.png)
            except (OSError, ValueError) as error:  # a full disk, a store that is away: no reason to stop training
                warnings.warn(f"the picture of {self.job.name} is not kept: {error}", stacklevel=2)

    def _judge(self, learner: Learner, moment: Moment) -> Row | None:
        """The figures; None when a spare processor works them out. The last model is always judged here."""
        assert self.judge is not None, "fit evaluates only with a judge"
        ema = bool(self.training.state.ema.weights)
        if self.selection is not None:
            self._note(moment, self.selection.consider(learner, moment))
            if not self.training.finished:
                return None
            learner = self.selection.chosen(learner)
        if not self.training.finished:
            answer = self._elsewhere(self.job, learner, self.dataset.spec, ema)
            if answer is not None:
                self._pending.append(Pending(answer, float(moment.samples_seen), self.training.seconds, learner))
                return None
        self.record = self.judge.evaluate(learner, ema=ema)
        return dict(self.record.metrics)

    def _note(self, moment: Moment, figures: Row | None) -> None:
        """Keep figures that say which model is the best so far."""
        if figures is not None:
            row = {"samples_seen": float(moment.samples_seen), "seconds": self.training.seconds, **figures}
            self._evaluations.append(row)
            self._log({name: value for name, value in row.items() if name != "seconds"})

    def _request(self, ask: Callable[[], Request], progress: RunProgress) -> Request:
        """What the outside and the run itself want; before a stop, what is judged elsewhere is waited for."""
        request = max(ask(), self._own_request())
        if request >= Request.STOP:
            self._collect(progress, wait=True)
        return request

    def _own_request(self) -> Request:
        """Stop when the time budget is spent, or when somebody wrote a request into the run's folder."""
        budget = self.job.time_budget_seconds
        spent = budget is not None and self.training.seconds - self._seconds_before >= budget
        return Request.STOP if spent or self._watch.asked else Request.NOTHING

    def _ended(self, fitted: FitResult) -> RunResult:
        self._permit()
        if fitted.finished and self.judge is not None and self.record is None:  # killed before it was judged
            self._judge(self.training.evaluation_copy(), fitted.moment)
        kept = keep_bundle(self.job, self._last_or_best(), self.dataset.spec, BUNDLE) if fitted.finished else None
        return self._result(finished=fitted.finished, evaluations=fitted.evaluations, bundle=kept)

    def _diverged(self, diverged: Diverged) -> RunResult:
        self.console.print(f"{self.job.name}: {diverged}", style="bold red", highlight=False)
        return self._result(finished=False, diverged=diverged.facts(), evaluations=self._evaluations)

    def _result(
        self,
        *,
        finished: bool,
        diverged: dict[str, str | int] | None = None,
        evaluations: list[Row] | None = None,
        bundle: str | None = None,
    ) -> RunResult:
        return RunResult(
            name=self.job.name,
            finished=finished,
            diverged=diverged,
            samples_seen=self.training.moment.samples_seen,
            updates=dict(self.training.state.updates),
            seconds=self.training.seconds,
            evaluation=None if self.record is None else self.record.to_json(),
            evaluations=evaluations or [],
            bundle=bundle,
            selected_images=None if self.selection is None else self.selection.images_of_best,
        )

    def _last_or_best(self) -> Learner:
        last = self.training.evaluation_copy()
        return last if self.selection is None else self.selection.chosen(last)

    def _write_down(self, result: RunResult) -> None:
        self.job.folder.write_bytes(RESULT, to_json(result, indent=1).encode())
        if result.diverged is not None:
            where = {f"diverged.{name}": str(value) for name, value in result.diverged.items()}
            self.tracker.set_tags({"outcome": "diverged", **where})
        status: RunStatus = "FINISHED" if result.finished else "FAILED" if result.diverged else "KILLED"
        backlog = self.tracker.finish(status)
        if backlog.num_waiting or backlog.refused:
            self.console.print(str(backlog), highlight=False)


def _follow(job: RunJob, training: Training, ask: Callable[[], Request]) -> RunResult:
    """Any other worker: the same steps, nothing written."""
    try:
        fitted = fit(training, keeping=_keeping(job, None), ask=ask)
    except Diverged as diverged:
        return RunResult(name=job.name, finished=False, diverged=diverged.facts())
    return RunResult(name=job.name, finished=fitted.finished, samples_seen=fitted.moment.samples_seen)


def _keeping(job: RunJob, writer: CheckpointWriter | None) -> Keeping:
    return Keeping(writer=writer, config=job.config.to_json(), data_digest=job.data_digest)
