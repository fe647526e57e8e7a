"""A study as the report looks at it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, final

from gen_dist.tuning.confirm import ConfirmationRow, confirmation_rows, winner
from gen_dist.tuning.outcome import OUTCOME_KINDS, OutcomeKind
from gen_dist.tuning.records import ConfirmationRecord, StudyRecord, TrialRecord
from gen_dist.tuning.score import WORST_SCORE
from gen_dist.tuning.space import Choice, Dimension, IntRange, Value

End = OutcomeKind | Literal["crashed"]

ENDS: tuple[End, ...] = (*OUTCOME_KINDS, "crashed")
FAILURES: frozenset[End] = frozenset({"collapsed", "critic overpowering", "generator starved", "diverged", "crashed"})
"""Ways to end that more training would not mend."""

GAUSSIAN = "frechet_distance_gaussian"
REAL = "frechet_distance_real"


@final
@dataclass(frozen=True)
class StudyView:
    """Everything that the report is made of. Nothing is read from anywhere else.

    Attributes:
        study: the terms.
        trials: of the search, in the order in which they were proposed.
        confirmations: fresh runs of the best configurations.
        sheets: PNG files of samples, by the id of their trial.
    """

    study: StudyRecord
    trials: tuple[TrialRecord, ...]
    confirmations: tuple[ConfirmationRecord, ...] = ()
    sheets: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def ended(self) -> tuple[TrialRecord, ...]:
        """Trials that are over, well or badly."""
        return tuple(t for t in self.trials if t.state == "failed" or t.scored)

    @cached_property
    def ranked(self) -> tuple[TrialRecord, ...]:
        """Trials that are over, the best first; crashed ones last."""
        return tuple(sorted(self.ended, key=lambda trial: (self.score(trial), trial.number)))

    @cached_property
    def measured(self) -> tuple[TrialRecord, ...]:
        """Trials with a distance that was measured: neither diverged nor crashed."""
        return tuple(trial for trial in self.ended if self.score(trial) < WORST_SCORE)

    @cached_property
    def rows(self) -> tuple[ConfirmationRow, ...]:
        """Confirmed configurations, the winner first."""
        return confirmation_rows(self.confirmations, self.trials)

    @cached_property
    def winner(self) -> ConfirmationRow | None:
        """The configuration to keep."""
        return winner(self.rows)

    @property
    def gaussian(self) -> float | None:
        """Distance of a Gaussian fitted to the pixels, on the search split."""
        return self.study.anchors.get(GAUSSIAN)

    @property
    def real(self) -> float | None:
        """Distance between real and real images, on the search split."""
        return self.study.anchors.get(REAL)

    def trial(self, trial_id: str) -> TrialRecord | None:
        """The trial of that id, if it is still there."""
        return next((trial for trial in self.trials if trial.id == trial_id), None)

    def score(self, trial: TrialRecord) -> float:
        """Its score; the worst there is for a crashed trial."""
        return WORST_SCORE if trial.score is None or trial.state == "failed" else trial.score

    def shown_score(self, trial: TrialRecord) -> float:
        """Its score where an average is taken: without a measured distance, the worst that any trial measured."""
        score = self.score(trial)
        if score < WORST_SCORE:
            return score
        return max((self.score(other) for other in self.measured), default=WORST_SCORE)

    def end(self, trial: TrialRecord) -> End:
        """How it ended."""
        if trial.state == "failed" or trial.outcome is None:
            return "crashed"
        return trial.outcome.kind

    def failed(self, trial: TrialRecord) -> bool:
        """Whether it ended in a way that more training would not mend."""
        return self.end(trial) in FAILURES

    def dimension_at(self, path: str) -> Dimension | None:
        """The dimension that sets a configuration field."""
        return next((d for d in self.study.space.dimensions if path in d.paths), None)

    def groups(self, dimension: Dimension) -> dict[Value, list[TrialRecord]]:
        """Ended trials by their value of a dimension, in the order of its options; trials without it are left out."""
        match dimension.domain:
            case Choice():
                options: tuple[Value, ...] = dimension.domain.options
            case IntRange():
                options = tuple(range(dimension.domain.low, dimension.domain.high + 1))
            case _:
                raise ValueError(f"dimension {dimension.name!r} is continuous: it has no groups")
        found = {option: [t for t in self.ended if t.values.get(dimension.name) == option] for option in options}
        return {option: trials for option, trials in found.items() if trials}


def is_discrete(dimension: Dimension) -> bool:
    """Whether trials can be grouped by its values."""
    return isinstance(dimension.domain, Choice | IntRange)


def label(name: str) -> str:
    """A dimension's name as people read it."""
    return name.rpartition(".")[2].replace("_", " ")


def number(value: float) -> str:
    """Three significant digits, without an exponent where that is readable."""
    if not math.isfinite(value):
        return "none"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{min(digits, 5)}f}"


def show(value: Value) -> str:
    """A drawn value as people read it."""
    return number(value) if isinstance(value, float) else str(value)


def tick(value: Value) -> str:
    """An option on an axis or in a sentence: as it was typed."""
    return f"{value:g}" if isinstance(value, float) else str(value)
