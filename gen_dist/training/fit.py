"""From the first round to the last: when to report, evaluate, checkpoint and stop."""

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, final, runtime_checkable

import torch

from gen_dist.learner import Learner, ModelConfig
from gen_dist.training.checkpoint import Checkpoint, capture
from gen_dist.training.settings import TrainingConfig
from gen_dist.training.training import Row, Training
from gen_dist.types import ImageSource, Moment


class Request(enum.IntEnum):
    """What the outside asks of a run between two reports. A later one includes the earlier ones."""

    NOTHING = 0
    CHECKPOINT = 1  # a preemption notice: write a checkpoint now and go on
    STOP = 2  # Ctrl-C, a spent time budget: write a checkpoint and end


def ask_nothing() -> Request:
    """The outside has nothing to say."""
    return Request.NOTHING


def ignore_report(_row: Row) -> None:
    """Nobody is told."""


def ignore_evaluation(_row: Row, _learner: Learner) -> None:
    """Nobody is told."""


def ignore_checkpoint() -> None:
    """Nobody is told."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Observers:
    """Who is told what happens, on worker 0. Every entry may be left out.

    Attributes:
        report: called with every row of the history.
        evaluation: called with every evaluation, and the learner that was judged.
        checkpoint: called before a checkpoint is taken: what was told so far must be as safe as the checkpoint.
    """

    report: Callable[[Row], None] = ignore_report
    evaluation: Callable[[Row, Learner], None] = ignore_evaluation
    checkpoint: Callable[[], None] = ignore_checkpoint


@runtime_checkable
class Keeper(Protocol):
    """Takes checkpoints."""

    def submit(self, checkpoint: Checkpoint) -> None:
        """Keep this one, now or soon."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """Where checkpoints go, when, and what they must say of the run.

    Attributes:
        writer: on worker 0 only.
        config: the run's configuration as JSON text.
        data_digest: digest of the dataset.
        when_judged: right after every evaluation and at no other time, whatever the settings say.
    """

    writer: Keeper | None
    config: str
    data_digest: str
    when_judged: bool = False


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """How a run ended: whether it drew all its images, and what was measured."""

    finished: bool
    moment: Moment
    history: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)


def fit(
    training: Training,
    *,
    keeping: Keeping | None = None,
    evaluate: Callable[[Learner, Moment], Row | None] | None = None,
    evaluations: list[Row] | None = None,
    observers: Observers | None = None,
    ask: Callable[[], Request] = ask_nothing,
    clock: Callable[[], float] = time.monotonic,
) -> FitResult:
    """Train until the images are drawn or the outside says stop.

    Every worker calls this. Decisions that read a clock are worker 0's; a request raised on any worker holds for all.

    Args:
        training: fresh or restored.
        keeping: checkpoints; None keeps none.
        evaluate: judges a finalised copy, on worker 0 while the others wait, and returns its figures; None says that it
            is judged elsewhere, and that whoever judges it adds the row to `evaluations`.
        evaluations: rows of the part of the run before a resume; new ones are added to it.
        observers: who is told.
        ask: what the outside wants, polled between reports.
        clock: seconds, for checkpoints by wall time.

    Raises:
        Diverged: a gradient was not finite.
    """
    observers = Observers() if observers is None else observers
    judged: list[Row] = [] if evaluations is None else evaluations
    settings, main = training.settings, training.world.rank == 0
    last_checkpoint = clock()
    while not training.finished:
        before, stage = training.moment.samples_seen, training.moment.stage
        row = training.advance()
        if main:
            observers.report(row)
        late = main and _overdue(settings.checkpoint_every_seconds, clock() - last_checkpoint)
        asked = ask()
        save, stop = training.world.any(late or asked >= Request.CHECKPOINT, asked >= Request.STOP)
        after = training.moment.samples_seen
        judge = (
            training.finished
            or training.moment.stage != stage
            or _crossed(before, after, settings.evaluate_every_images)
        )
        if evaluate is not None and main and judge:
            learner = training.evaluation_copy()
            figures = evaluate(learner, training.moment)
            if figures is not None:
                judged.append({"samples_seen": float(after), "seconds": training.seconds, **figures})
                observers.evaluation(judged[-1], learner)
        due = save or training.finished or _crossed(before, after, settings.checkpoint_every_images)
        if keeping and (judge if keeping.when_judged else due):
            observers.checkpoint()
            checkpoint = capture(training, config=keeping.config, data_digest=keeping.data_digest, evaluations=judged)
            if keeping.writer is not None:
                keeping.writer.submit(checkpoint)
            last_checkpoint = clock()
        if stop:
            break
    return FitResult(finished=training.finished, moment=training.moment, history=training.history, evaluations=judged)


def train_to_end(
    model: ModelConfig,
    settings: TrainingConfig,
    seed: int,
    stream: ImageSource,
    *,
    device: torch.device | None = None,
    report: Callable[[Row], None] | None = None,
) -> Learner:
    """The simplest use of the loop: train alone and return the finalised learner in evaluation mode.

    Raises:
        Diverged: a gradient was not finite.
    """
    training = Training(model, settings, seed, stream, device=device)
    fit(training, observers=Observers() if report is None else Observers(report=report))
    return training.evaluation_copy()


def _overdue(every_seconds: float | None, elapsed: float) -> bool:
    return every_seconds is not None and elapsed >= every_seconds


def _crossed(before: int, after: int, every: int | None) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return every is not None and before // every != after // every
