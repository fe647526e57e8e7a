"""What a study writes down: its terms, its trials and its confirmation runs."""

from dataclasses import dataclass, field
from typing import Literal

from gen_dist.tuning.outcome import Outcome
from gen_dist.tuning.space import Space, Value

State = Literal["pending", "running", "finished", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """The terms of a study, fixed when it starts.

    Attributes:
        name: of the study.
        created: when, as ISO 8601 in UTC.
        space: what is searched, bound to the base configuration.
        preset: name of the preset that trials vary.
        base_config: that run configuration, as its own JSON text.
        data_uri: the dataset.
        data_digest: of its manifest.
        searcher: how values are proposed, "random" or "tpe".
        scheduler: who stops trials early, "none", "asha", "median" or "pbt".
        num_trials: how many trials the search runs.
        images_per_trial: images that any critic is shown in a full trial.
        time_budget_seconds: wall time of the whole study, or None.
        seed: of the search.
        confirmation_seeds: fresh seeds, one run each for every configuration that is confirmed.
        search_split: the split that scores came from.
        confirmation_split: the split that the search never used.
        protocol: how distances were measured, in words for people.
        anchors: distances of the search split to compare with, e.g. "frechet_distance_gaussian".
    """

    name: str
    created: str
    space: Space
    preset: str
    base_config: str
    data_uri: str
    data_digest: str
    searcher: str
    scheduler: str
    num_trials: int
    images_per_trial: int
    seed: int
    time_budget_seconds: float | None = None
    confirmation_seeds: tuple[int, ...] = ()
    search_split: str = "validation"
    confirmation_split: str = "test"
    protocol: str = ""
    anchors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a run has cost so far, in every currency, so that k = 5 is not secretly given more or less.

    Attributes:
        updates: steps of each player.
        images: training images shown to any critic.
        seconds: wall time of training.
    """

    updates: dict[str, int] = field(default_factory=dict)
    images: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One trial of the search.

    Attributes:
        id: names its folder; letters, digits, "-" and "_".
        number: order in which trials were proposed, from 0.
        values: the draw, by dimension.
        config: the whole run configuration, as its own JSON text.
        state: "finished" also when it diverged or was stopped early; "failed" when it crashed.
        checkpoint: URI of the checkpoint from which it can go on.
        parent: the trial whose weights and optimizer moments it took over (population based training).
        parent_checkpoint: URI of the checkpoint that they came from.
        parent_digest: of weights and moments, as every worker of this trial held them when it went on from there.
        stopped_early: a scheduler ended it before its budget was spent.
        spent: its cost.
        trace: what it reported, thinned.
        evaluations: its evaluations, in order.
        outcome: the diagnosis.
        score: stability score, lower is better.
        sample_sheet: key of a PNG in the study's storage.
        error: the message of what made it fail.
    """

    id: str
    number: int
    values: dict[str, Value]
    config: str
    state: State = "pending"
    checkpoint: str | None = None
    parent: str | None = None
    parent_checkpoint: str | None = None
    parent_digest: str | None = None
    stopped_early: bool = False
    spent: Spent = field(default_factory=Spent)
    trace: tuple[dict[str, float], ...] = ()
    evaluations: tuple[dict[str, float], ...] = ()
    outcome: Outcome | None = None
    score: float | None = None
    sample_sheet: str | None = None
    error: str | None = None

    @property
    def scored(self) -> bool:
        """Whether it ended with a score."""
        return self.state == "finished" and self.score is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmationRecord:
    """One fresh training of a trial's configuration, judged on the split that the search never used.

    Attributes:
        trial_id: whose configuration.
        seed: fresh.
        config: the whole run configuration, as its own JSON text.
        state: as in `TrialRecord`.
        checkpoint: URI of the checkpoint from which it can go on.
        spent: its cost.
        metrics: of its one evaluation; empty when it diverged.
        anchors: that belong to this evaluation.
        outcome: the diagnosis.
        sample_sheet: key of a PNG in the study's storage.
        error: the message of what made it fail.
    """

    trial_id: str
    seed: int
    config: str
    state: State = "pending"
    checkpoint: str | None = None
    spent: Spent = field(default_factory=Spent)
    metrics: dict[str, float] = field(default_factory=dict)
    anchors: dict[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None
    sample_sheet: str | None = None
    error: str | None = None
