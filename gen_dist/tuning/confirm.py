"""Which configurations deserve a second look, and which of them wins: on mean and spread, not on one lucky run."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gen_dist.tuning.records import ConfirmationRecord, TrialRecord

METRIC = "frechet_distance"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmationRow:
    """One configuration, trained again with fresh seeds.

    Attributes:
        trial_id: whose configuration.
        distances: of the runs that ended well, in the order of their seeds.
        failed: runs that crashed or diverged.
        search_score: what the search thought of it; it is the best of many and therefore too good to be true.
        anchors: of the split on which it was judged.
    """

    trial_id: str
    distances: tuple[float, ...]
    failed: int
    search_score: float
    anchors: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean distance; infinite when no run ended well."""
        return statistics.fmean(self.distances) if self.distances else math.inf

    @property
    def spread(self) -> float | None:
        """Standard deviation between seeds, or None for fewer than two."""
        return statistics.stdev(self.distances) if len(self.distances) > 1 else None

    @property
    def bound(self) -> float:
        """Mean plus its standard error: what the configuration can be trusted with."""
        spread = self.spread
        return self.mean if spread is None else self.mean + spread / math.sqrt(len(self.distances))


def to_confirm(trials: Iterable[TrialRecord], num: int) -> tuple[TrialRecord, ...]:
    """The `num` best trials by score that ended whole, best first; of equal configurations only the best.

    Trials that diverged, and those that a scheduler stopped early, are left out as long as others are there: a
    configuration that was never trained to its end has shown too little.
    """
    assert num >= 0, "the settings of a study refuse it"
    candidates = [t for t in trials if t.scored and t.outcome is not None and t.outcome.kind != "diverged"]
    candidates.sort(key=lambda trial: (trial.stopped_early, _score(trial), trial.number))
    chosen: dict[str, TrialRecord] = {}
    for trial in candidates:
        chosen.setdefault(trial.config, trial)
    return tuple(chosen.values())[:num]


def confirmation_rows(
    runs: Iterable[ConfirmationRecord], trials: Iterable[TrialRecord], metric: str = METRIC
) -> tuple[ConfirmationRow, ...]:
    """One row for each configuration with at least one run that ended, the winner first."""
    scores = {trial.id: _score(trial) for trial in trials}
    by_trial: dict[str, list[ConfirmationRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.trial_id, run.seed)):
        if run.state in ("finished", "failed"):
            by_trial.setdefault(run.trial_id, []).append(run)
    rows = []
    for trial_id, group in by_trial.items():
        good = [run for run in group if _ended_well(run, metric)]
        rows.append(
            ConfirmationRow(
                trial_id=trial_id,
                distances=tuple(run.metrics[metric] for run in good),
                failed=len(group) - len(good),
                search_score=scores.get(trial_id, math.inf),
                anchors=dict(good[0].anchors) if good else {},
            )
        )
    return tuple(sorted(rows, key=_rank))


def winner(rows: Sequence[ConfirmationRow]) -> ConfirmationRow | None:
    """The configuration to keep, or None when no run ended well.

    One that never failed beats one that did; then the lowest mean plus standard error; then the smaller spread.
    """
    best = min(rows, key=_rank, default=None)
    return best if best is not None and best.distances else None


def _rank(row: ConfirmationRow) -> tuple[int, float, float, str]:
    spread = row.spread
    return row.failed, row.bound, math.inf if spread is None else spread, row.trial_id


def _ended_well(run: ConfirmationRecord, metric: str) -> bool:
    return run.state == "finished" and metric in run.metrics and math.isfinite(run.metrics[metric])


def _score(trial: TrialRecord) -> float:
    return math.inf if trial.score is None else trial.score
