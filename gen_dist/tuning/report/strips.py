"""Distance by the values of a dimension: every trial a mark, with the spread and the share of failures."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from gen_dist.tuning.records import TrialRecord
from gen_dist.tuning.report.style import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    QUIET,
    Picture,
    end_legend,
    mark_anchors,
    new_figure,
    picture,
    readable_log,
    styled,
)
from gen_dist.tuning.report.view import StudyView, is_discrete, label, tick
from gen_dist.tuning.score import WORST_SCORE
from gen_dist.tuning.space import Dimension, LogUniform, Value

OBJECTIVE = "model.game.objective"
CRITIC_UPDATES = "model.game.critic_updates"
LEARNING_RATES = ("model.generator_optimizer.learning_rate", "model.critic_optimizer.learning_rate")
_PANELS_IN_A_ROW = 3
SCORE_LABEL = "stability score (Fréchet distance and its swing), lower is better"


def by_objective_and_k(view: StudyView) -> Picture | None:
    """Strips by objective and by k, whichever was searched."""
    found = [view.dimension_at(path) for path in (OBJECTIVE, CRITIC_UPDATES)]
    dimensions = [d for d in found if d is not None and is_discrete(d) and len(view.groups(d)) > 1]
    if not dimensions or not view.measured:
        return None
    groups = [view.groups(dimension) for dimension in dimensions]
    with styled():
        figure = new_figure(1.3 + 0.42 * sum(map(len, groups)) + 0.5 * len(groups))
        panels = figure.subplots(
            len(groups), 1, sharex=True, squeeze=False, height_ratios=[len(group) + 0.5 for group in groups]
        )
        for row, (dimension, group) in enumerate(zip(dimensions, groups, strict=True)):
            axes = panels[row, 0]
            strip(axes, view, by_median(view, group) if dimension.name == "objective" else group)
            axes.set_title(_title(dimension), pad=14 if row == 0 else 6)
            if row == 0:
                mark_anchors(axes, view, vertical=True)
        panels[-1, 0].set_xlabel(SCORE_LABEL)
        end_legend(figure, view)
        return picture(
            "distance-by-objective-and-k",
            "Which game, and how many critic steps?",
            "Every mark is one trial. The thick line is the median, the grey box holds the middle half; on the right, "
            "how many trials failed (collapsed, starved, overpowered, diverged or crashed). Marks in the grey band "
            "have no distance.",
            "Strips of trial distances by objective and by k; the same numbers stand in the table of trials.",
            figure,
        )


def by_other_settings(view: StudyView) -> Picture | None:
    """Small panels for all dimensions that have no figure of their own."""
    special = (OBJECTIVE, CRITIC_UPDATES, *LEARNING_RATES)
    dimensions = [d for d in view.study.space.dimensions if not set(special) & set(d.paths) and _varied(view, d)]
    if not dimensions or not view.measured:
        return None
    columns = min(_PANELS_IN_A_ROW, len(dimensions))
    num_rows = -(-len(dimensions) // columns)
    with styled():
        figure = new_figure(0.7 + 2.3 * num_rows)
        panels = figure.subplots(num_rows, columns, squeeze=False)
        for position, dimension in enumerate(dimensions):
            axes = panels[divmod(position, columns)]
            if is_discrete(dimension):
                strip(axes, view, view.groups(dimension), counts=False)
            else:
                _scatter(axes, view, dimension)
            axes.set_title(_title(dimension))
        for position in range(len(dimensions), num_rows * columns):
            panels[divmod(position, columns)].set_visible(False)
        end_legend(figure, view)
        return picture(
            "distance-by-other-settings",
            "The other settings",
            "Distance (on the logarithmic axis) against every other dimension. A setting that exists for one "
            "objective only shows the trials of that objective.",
            "Small panels of distance against each remaining dimension.",
            figure,
        )


def strip(axes: Axes, view: StudyView, groups: Mapping[Value, Sequence[TrialRecord]], *, counts: bool = True) -> None:
    """One horizontal line of marks for each group."""
    edge = _edge_of_no_distance(view)
    unmeasured = any(view.score(trial) >= WORST_SCORE for trial in view.ended)
    if unmeasured:
        axes.axvspan(edge, edge * 2.2, color=FAINT, linewidth=0, zorder=0)
    for row, trials in enumerate(groups.values()):
        scores = sorted(view.score(trial) for trial in trials if view.score(trial) < WORST_SCORE)
        if len(scores) >= 3:
            low, middle, high = statistics.quantiles(scores, n=4, method="inclusive")
            axes.barh(row, high - low, left=low, height=0.62, color="#f0f0f0", edgecolor="#cfcfcf", linewidth=0.8)
            axes.plot([middle, middle], [row - 0.36, row + 0.36], color=INK, linewidth=2.6, solid_capstyle="butt")
        for trial in trials:
            mark(axes, view, trial, min(view.score(trial), edge * 1.45), row + _jitter(trial))
        if counts:
            bad = sum(view.failed(trial) for trial in trials)
            axes.annotate(
                f"{bad} of {len(trials)} failed",
                (1.0, row),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=INK if bad else QUIET,
            )
    axes.set_yticks(range(len(groups)), [tick(value) for value in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(_left_edge(view), edge * 2.2 if unmeasured else edge)
    readable_log(axes, "x")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def mark(axes: Axes, view: StudyView, trial: TrialRecord, x: float, y: float) -> None:
    """One trial, by shape and colour of its outcome."""
    end = view.end(trial)
    axes.plot(
        x, y, marker=MARKERS[end], color=COLOURS[end], markersize=6.5, markeredgecolor="white",
        markeredgewidth=0.6, alpha=0.95, linestyle="", zorder=3, clip_on=False,
    )  # fmt: skip


def _scatter(axes: Axes, view: StudyView, dimension: Dimension) -> None:
    edge = _edge_of_no_distance(view)
    if isinstance(dimension.domain, LogUniform):
        axes.set_xscale("log")
    for trial in view.ended:
        if dimension.name in trial.values:
            value = float(trial.values[dimension.name])
            mark(axes, view, trial, value, min(view.score(trial), edge * 1.45))
    axes.set_ylim(_left_edge(view), edge * 2.2)
    readable_log(axes, "y")
    axes.set_ylabel("distance")


def _title(dimension: Dimension) -> str:
    name = "k, critic steps per generator step" if CRITIC_UPDATES in dimension.paths else label(dimension.name)
    if dimension.when is None:
        return name
    return f"{name}\n({' or '.join(map(str, dimension.when.among))})"


def by_median(view: StudyView, groups: Mapping[Value, list[TrialRecord]]) -> dict[Value, list[TrialRecord]]:
    """Groups by their median score, the best first; one whose median trial has no distance comes last."""

    def middle(trials: Sequence[TrialRecord]) -> float:
        return statistics.median(view.score(trial) for trial in trials)

    return dict(sorted(groups.items(), key=lambda item: middle(item[1])))


def _varied(view: StudyView, dimension: Dimension) -> bool:
    return len({trial.values[dimension.name] for trial in view.ended if dimension.name in trial.values}) > 1


def _jitter(trial: TrialRecord) -> float:
    # Steps of the golden ratio fill an interval evenly and are the same in every rendering.
    return (trial.number * 0.618034 % 1.0 - 0.5) * 0.44


def _edge_of_no_distance(view: StudyView) -> float:
    known = [view.score(trial) for trial in view.measured] + [v for v in (view.gaussian, view.real) if v]
    return max(known) * 1.25


def _left_edge(view: StudyView) -> float:
    known = [view.score(trial) for trial in view.measured] + [v for v in (view.gaussian, view.real) if v]
    return max(min(known) * 0.8, 1e-6)
