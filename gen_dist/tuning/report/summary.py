"""What the study found, in words. Every sentence carries its numbers, and says when chance would do as well."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gen_dist.tuning.confirm import ConfirmationRow
from gen_dist.tuning.records import TrialRecord
from gen_dist.tuning.report.analysis import (
    Boundary,
    Importance,
    difference_between_groups,
    expected_best,
    failure_boundary,
)
from gen_dist.tuning.report.strips import CRITIC_UPDATES, LEARNING_RATES, OBJECTIVE, by_median
from gen_dist.tuning.report.view import GAUSSIAN, StudyView, is_discrete, label, number, show, tick
from gen_dist.tuning.score import WORST_SCORE
from gen_dist.tuning.space import Dimension, LogUniform

CLEAR = 0.01
"""Probability under chance below which a difference is called clear. Several questions are asked of one study."""
HINT = 0.05
"""The same for a hint."""
_MUCH = 10.0
_FASTER = (
    "the critic more than ten times faster",
    "rates within a factor of ten",
    "the generator more than ten times faster",
)
ENOUGH_TO_COMPARE = 8
NEAR_BEST = 1.25
"""A distance within a quarter of the best counts as near it: about what another seed changes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A short title and what there is to say."""

    title: str
    text: str


def summary(view: StudyView, importance: Importance) -> tuple[Finding, ...]:
    """All findings that the study allows, the result first."""
    found = [_result(view), _failures(view)]
    if len(view.ended) >= ENOUGH_TO_COMPARE and view.measured:
        found += [_groups(view, OBJECTIVE, "Objective"), _groups(view, CRITIC_UPDATES, "Critic steps"), _rates(view)]
        found += [_boundaries(view), _importance(importance), _luck(view)]
    return tuple(finding for finding in found if finding is not None)


def _result(view: StudyView) -> Finding:
    if not view.ended:
        return Finding("Result", "The time was over before the first trial could be judged.")
    if not view.measured:
        return Finding("Result", f"None of {len(view.ended)} trials ended with a distance.")
    best = view.ranked[0]
    healthy = sum(view.end(trial) == "healthy" for trial in view.ended)
    text = (
        f"{healthy} of {len(view.ended)} trials ended healthy. The best score of the search is "
        f"{number(view.score(best))} ({best.id}: {_described(view, best)})"
    )
    if view.gaussian:
        text += f", {_against_gaussian(view.score(best), view.gaussian)}"
    text += "."
    if view.winner is not None:
        text += " " + _confirmed(view, view.winner)
    elif view.confirmations:
        text += " No configuration survived the confirmation with fresh seeds."
    return Finding("Result", text)


def _confirmed(view: StudyView, row: ConfirmationRow) -> str:
    text = (
        f"Trained again with {len(row.distances)} fresh seeds and judged on the {view.study.confirmation_split} split, "
    )
    trial = view.trial(row.trial_id)
    text += f"the winner is {row.trial_id}" + (f" ({_described(view, trial)})" if trial else "")
    text += f": mean distance {number(row.mean)}"
    if row.spread is not None:
        text += f", standard deviation {number(row.spread)} between seeds"
    gaussian = row.anchors.get(GAUSSIAN)
    if gaussian:
        text += f"; {_against_gaussian(row.mean, gaussian)}"
    return text + "."


def _against_gaussian(distance: float, gaussian: float) -> str:
    if distance >= gaussian:
        return (
            f"worse than a Gaussian fitted to the pixels ({number(gaussian)}): no setting found here has learned what "
            "the data looks like"
        )
    return f"{distance / gaussian:.0%} of the distance of a Gaussian fitted to the pixels ({number(gaussian)})"


def _failures(view: StudyView) -> Finding | None:
    failed = [trial for trial in view.ended if view.failed(trial)]
    if not failed:
        return Finding("Failures", "No trial failed.") if view.ended else None
    counts = Counter(view.end(trial) for trial in failed)
    kinds = ", ".join(f"{count} {end}" for end, count in counts.most_common())
    text = f"{len(failed)} of {len(view.ended)} trials failed in a way that more training would not mend: {kinds}."
    example = next((trial.outcome for trial in failed if view.end(trial) == counts.most_common(1)[0][0]), None)
    if example is not None:
        text += f" For the most common: {example.advice}"
    return Finding("Failures", text)


def _groups(view: StudyView, path: str, title: str) -> Finding | None:
    dimension = view.dimension_at(path)
    if dimension is None or not is_discrete(dimension) or len(view.groups(dimension)) < 2:
        return None
    groups = view.groups(dimension)
    prefix = "" if path == OBJECTIVE else "k = "
    parts = []
    for value, trials in by_median(view, groups).items():
        middle = statistics.median(map(view.score, trials))
        distance = number(middle) if middle < WORST_SCORE else "without a distance"
        parts.append(f"{prefix}{tick(value)}: {distance} ({sum(map(view.failed, trials))} of {len(trials)} failed)")
    text = "Median score, the best first: " + "; ".join(parts) + ". "
    return Finding(title, text + _chance([[view.score(t) for t in trials] for trials in groups.values()]))


def _chance(groups: Sequence[Sequence[float]]) -> str:
    probability = difference_between_groups(groups)
    if probability is None:
        return "There are too few trials of each to compare them."
    if probability < CLEAR:
        return f"The differences are clear (Kruskal-Wallis p = {number(probability)})."
    return (
        f"Differences this large also arise by chance (Kruskal-Wallis p = {number(probability)}): do not build on them."
    )


def _rates(view: StudyView) -> Finding | None:
    generator, critic = (view.dimension_at(path) for path in LEARNING_RATES)
    if generator is None or critic is None:
        return None
    quarter = view.ranked[: max(3, len(view.ranked) // 4)]
    if generator is critic:
        return Finding("Learning rate", f"The best quarter of the trials used {_range(quarter, generator)}.")
    ratios = [float(t.values[critic.name]) / float(t.values[generator.name]) for t in quarter]
    middle = math.exp(statistics.fmean(map(math.log, ratios)))
    faster = "the critic the faster one" if middle > 1 else "the generator the faster one"
    text = (
        f"The best quarter of the trials used {_range(quarter, generator)} for the generator and "
        f"{_range(quarter, critic)} for the critic; on (geometric) average {faster}, by a factor of "
        f"{number(max(middle, 1 / middle))} (from {number(min(ratios))} to {number(max(ratios))})."
    )
    return Finding("Learning rates", text + _by_ratio(view, generator, critic))


def _by_ratio(view: StudyView, generator: Dimension, critic: Dimension) -> str:
    """How trials failed on either side of the line on which both players learn at the same rate."""
    sides: dict[str, list[TrialRecord]] = {side: [] for side in _FASTER}
    for trial in view.ended:
        ratio = float(trial.values[critic.name]) / float(trial.values[generator.name])
        sides[_FASTER[0] if ratio > _MUCH else _FASTER[2] if ratio < 1 / _MUCH else _FASTER[1]].append(trial)
    parts = []
    for side, trials in sides.items():
        kinds = Counter(view.end(trial) for trial in trials if view.failed(trial))
        if trials:
            most = f", mostly {kinds.most_common(1)[0][0]}" if kinds else ""
            parts.append(f"{side}: {kinds.total()} of {len(trials)} failed{most}")
    return " With " + "; ".join(parts) + "."


def _range(trials: Sequence[TrialRecord], dimension: Dimension) -> str:
    values = [float(trial.values[dimension.name]) for trial in trials]
    return f"{number(min(values))} to {number(max(values))}"


def _boundaries(view: StudyView) -> Finding | None:
    sentences = []
    for dimension in view.study.space.dimensions:
        if not isinstance(dimension.domain, LogUniform):
            continue
        having = [trial for trial in view.ended if dimension.name in trial.values]
        values = [float(trial.values[dimension.name]) for trial in having]
        boundary = failure_boundary(values, [view.failed(trial) for trial in having])
        if boundary is not None and boundary.probability < CLEAR:
            sentences.append(_boundary_sentence(dimension, boundary))
    return Finding("Where it breaks", " ".join(sentences)) if sentences else None


def _boundary_sentence(dimension: Dimension, boundary: Boundary) -> str:
    (bad_above, above), (bad_below, below) = boundary.above, boundary.below
    return (
        f"With a {label(dimension.name)} above {number(boundary.threshold)}, {bad_above} of {above} trials failed; "
        f"below it, {bad_below} of {below}."
    )


def _importance(importance: Importance) -> Finding | None:
    if not importance.bars:
        return Finding("Importance", importance.note)
    clear = [bar for bar in importance.bars if bar.share > bar.chance]
    if not clear:
        return Finding("Importance", "No single setting explains more of the differences than chance would.")
    named = ", ".join(f"{bar.name} ({bar.share:.0%})" for bar in clear)
    return Finding("Importance", f"Beyond what chance reaches, the distance depended on {named}.")


def _luck(view: StudyView) -> Finding:
    best = view.score(view.ranked[0])
    curve = expected_best([view.shown_score(trial) for trial in view.ended], most=4 * len(view.ended))
    enough = next((point.num for point in curve if point.mean <= NEAR_BEST * best), None)
    if enough is None or enough > len(view.ended):
        text = (
            f"{len(view.ended)} random trials do not reliably come within {NEAR_BEST - 1:.0%} of the best score found "
            "here: a longer search may find better."
        )
    else:
        text = (
            f"On average, {enough} trials drawn at random from this study come within {NEAR_BEST - 1:.0%} of its best "
            f"score ({number(best)})."
        )
    return Finding("How much search is enough", text)


def _described(view: StudyView, trial: TrialRecord) -> str:
    parts = []
    for path, name in ((OBJECTIVE, ""), (CRITIC_UPDATES, "k = ")):
        dimension = view.dimension_at(path)
        if dimension is not None and dimension.name in trial.values:
            parts.append(f"{name}{show(trial.values[dimension.name])}")
    generator, critic = (view.dimension_at(path) for path in LEARNING_RATES)
    if generator is not None and critic is not None:
        rates = [show(trial.values[d.name]) for d in dict.fromkeys((generator, critic)) if d.name in trial.values]
        parts.append(f"learning rate{'s' if len(rates) > 1 else ''} {' and '.join(rates)}")
    return ", ".join(parts) or "the preset's settings"
