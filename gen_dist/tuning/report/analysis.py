"""What the trials say together: best against budget, importance with its chance level, and tests by rank."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from scipy import stats

from gen_dist.tuning.optuna_study import distribution, quiet
from gen_dist.tuning.report.view import StudyView, label
from gen_dist.tuning.space import Dimension, Value

MIN_TRIALS = 24
"""Fewest trials for an importance: about three for each of eight dimensions; below that a forest fits noise."""

SHUFFLES = 19
"""Shuffles behind the chance level. It is the largest share of any dimension in any of them, so that under chance the
probability of one bar or more beyond it is 1 in 20, however many dimensions there are."""

TREES = 32


@dataclass(frozen=True, slots=True)
class BestOf:
    """The best of n random trials, over all ways to draw n of the trials of a study with replacement.

    Attributes:
        num: n.
        mean: expected best distance.
        low: 10th percentile.
        high: 90th percentile.
    """

    num: int
    mean: float
    low: float
    high: float


def expected_best(scores: Sequence[float], most: int | None = None) -> tuple[BestOf, ...]:
    """The bootstrap of Lucic et al. 2018 (arXiv:1711.10337, section 5) in closed form.

    With the scores in rising order, the best of n draws is at least the i-th of N with probability
    ((N - i + 1) / N)^n; no resampling is needed, and the curve has no noise of its own.
    """
    ordered = sorted(scores)
    size = len(ordered)
    curve = []
    for num in range(1, (size if most is None else most) + 1):
        above = [((size - i) / size) ** num for i in range(size + 1)]
        mean = math.fsum(value * (above[i] - above[i + 1]) for i, value in enumerate(ordered))
        curve.append(BestOf(num, mean, _quantile(ordered, above, 0.1), _quantile(ordered, above, 0.9)))
    return tuple(curve)


def _quantile(ordered: Sequence[float], above: Sequence[float], share: float) -> float:
    # Rounding in the powers must not push a quantile past the last score.
    return next(value for i, value in enumerate(ordered) if 1.0 - above[i + 1] >= share or i == len(ordered) - 1)


def best_so_far(view: StudyView) -> tuple[tuple[float, float], ...]:
    """(images shown to any critic so far, best score so far) after each trial, in the order of the search."""
    images = itertools.accumulate(trial.spent.images for trial in view.ended)
    best = itertools.accumulate((view.score(trial) for trial in view.ended), min)
    measured = {view.score(trial) for trial in view.measured}
    return tuple((float(i), b) for i, b in zip(images, best, strict=True) if b in measured)


@dataclass(frozen=True, slots=True)
class Bar:
    """Importance of one dimension.

    Attributes:
        name: of the dimension, with the trials it was judged on where those are not all.
        share: of the variance of the logarithm of the distance that it explains alone, among all dimensions.
        chance: the largest share that any dimension had over shuffled distances.
    """

    name: str
    share: float
    chance: float


@dataclass(frozen=True, slots=True)
class Importance:
    """Bars, the most important first, or a note that says why there are none."""

    bars: tuple[Bar, ...]
    note: str


def importance(view: StudyView, *, seed: int = 0, shuffles: int = SHUFFLES) -> Importance:
    """Functional ANOVA (Hutter et al. 2014) of the logarithm of the distance, by Optuna on a rebuilt study.

    Dimensions that exist only under a condition are judged on the trials that have them.
    """
    trials = view.ended
    if len(trials) < MIN_TRIALS:
        return Importance(
            (), f"{len(trials)} trials are too few to tell importance from noise: it takes at least {MIN_TRIALS}."
        )
    everywhere = [d for d in view.study.space.dimensions if all(d.name in t.values for t in trials)]
    bars = _bars(view, everywhere, everywhere, "", seed, shuffles)
    for dimension in view.study.space.dimensions:
        if dimension in everywhere or dimension.when is None:
            continue
        where = f" ({' or '.join(map(str, dimension.when.among))} only)"
        bars += tuple(bar for bar in _bars(view, [*everywhere, dimension], [dimension], where, seed, shuffles))
    if not bars:
        return Importance((), "No dimension had more than one value, or all distances are equal.")
    note = f"From {len(trials)} trials; trials without a measured distance count as the worst measured one."
    return Importance(tuple(sorted(bars, key=lambda bar: -bar.share)), note)


def _bars(
    view: StudyView, dimensions: Sequence[Dimension], wanted: Sequence[Dimension], where: str, seed: int, shuffles: int
) -> tuple[Bar, ...]:
    trials = [t for t in view.ended if all(d.name in t.values for d in dimensions)]
    varied = [d for d in dimensions if len({t.values[d.name] for t in trials}) > 1]
    targets = [math.log10(max(view.shown_score(trial), 1e-12)) for trial in trials]
    if len(trials) < MIN_TRIALS or len(varied) < 2 or len(set(targets)) < 2:
        return ()
    draws = [{d.name: trial.values[d.name] for d in varied} for trial in trials]
    shares = _shares(varied, draws, targets, seed)
    chance = 0.0
    rng = random.Random(seed)  # noqa: S311 - a statistical shuffle
    for number in range(shuffles):
        shuffled = rng.sample(targets, len(targets))
        chance = max(chance, *_shares(varied, draws, shuffled, seed + number + 1).values())
    return tuple(Bar(label(d.name) + where, shares[d.name], chance) for d in wanted if d in varied)


def _shares(
    dimensions: Sequence[Dimension], draws: Sequence[dict[str, Value]], targets: Sequence[float], seed: int
) -> dict[str, float]:
    with quiet():
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="minimize")
    distributions = {dimension.name: distribution(dimension.domain) for dimension in dimensions}
    for params, target in zip(draws, targets, strict=True):
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=target))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, max_depth=TREES, seed=seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(distributions))
    return {name: float(share) for name, share in found.items()}


def difference_between_groups(groups: Sequence[Sequence[float]]) -> float | None:
    """Probability that groups differ in rank this much by chance (Kruskal-Wallis); None when it can't be asked.

    Ranks do not care how bad a failure was, so failed trials may stand there with any worst value.
    """
    groups = [group for group in groups if len(group) >= 3]
    if len(groups) < 2 or len({value for group in groups for value in group}) < 2:
        return None
    return float(stats.kruskal(*groups).pvalue)


@dataclass(frozen=True, slots=True)
class Boundary:
    """A value of a dimension beyond which trials fail more often.

    Attributes:
        threshold: where.
        above: (failed, all) above it.
        below: (failed, all) at or below it.
        probability: of a boundary this clear by chance, over all places where it could have been drawn.
    """

    threshold: float
    above: tuple[int, int]
    below: tuple[int, int]
    probability: float


def failure_boundary(values: Sequence[float], failed: Sequence[bool], least: int = 5) -> Boundary | None:
    """The cut with the clearest difference in failures (Fisher's exact test, corrected for the number of cuts).

    Args:
        values: one per trial.
        failed: whether that trial failed.
        least: trials on either side of a cut.
    """
    pairs = sorted(zip(values, failed, strict=True))
    cuts = [i for i in range(least, len(pairs) - least + 1) if i and i < len(pairs) and pairs[i - 1][0] < pairs[i][0]]
    found: Boundary | None = None
    for cut in cuts:
        below, above = [f for _, f in pairs[:cut]], [f for _, f in pairs[cut:]]
        table = [[sum(below), len(below) - sum(below)], [sum(above), len(above) - sum(above)]]
        probability = min(1.0, float(stats.fisher_exact(table).pvalue) * len(cuts))
        if found is None or probability < found.probability:
            low, high = pairs[cut - 1][0], pairs[cut][0]
            middle = math.sqrt(low * high) if low > 0 else (low + high) / 2
            found = Boundary(middle, (sum(above), len(above)), (sum(below), len(below)), probability)
    return found
