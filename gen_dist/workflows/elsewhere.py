"""Judging a model while its run trains on: what a run must know of it, and not how it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.learner import Learner
from gen_dist.types import DataSpec
from gen_dist.workflows.job import RunJob


@runtime_checkable
class Answer(Protocol):
    """A judgement that is under way elsewhere."""

    def __call__(self, *, wait: bool) -> EvaluationRecord | None:
        """The record, or None while it is not there; `wait` waits for it."""
        ...


Elsewhere = Callable[[RunJob, Learner, DataSpec, bool], Answer | None]  # the bool: averaged weights


def here_only(_job: RunJob, _learner: Learner, _spec: DataSpec, _ema: bool) -> None:
    """There is no elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A model that is being judged elsewhere."""

    answer: Answer
    samples_seen: float
    seconds: float
    learner: Learner
