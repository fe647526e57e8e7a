"""Learning rates, budget, importance and confirmation, one figure each."""

import math

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gen_dist.tuning.report.analysis import Importance, best_so_far, expected_best
from gen_dist.tuning.report.strips import LEARNING_RATES, OBJECTIVE
from gen_dist.tuning.report.style import (
    ACCENT,
    FAINT,
    INK,
    MARKERS,
    QUIET,
    SECOND,
    WIDTH,
    Picture,
    end_legend,
    mark_anchors,
    new_figure,
    picture,
    readable_log,
    styled,
)
from gen_dist.tuning.report.view import StudyView
from gen_dist.tuning.score import WORST_SCORE

_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


def by_learning_rates(view: StudyView) -> Picture | None:
    """Trials over the plane of both learning rates, where the search moved them independently."""
    generator, critic = (view.dimension_at(path) for path in LEARNING_RATES)
    if generator is None or critic is None or generator is critic or len(view.measured) < 2:
        return None
    scores = [view.score(trial) for trial in view.measured]
    norm = LogNorm(min(scores), max(max(scores), min(scores) * 1.01))
    colours = mpl.colormaps["cividis"]
    with styled():
        figure = new_figure(0.7 * WIDTH)
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_yscale("log")
        for trial in sorted(view.ended, key=view.score, reverse=True):
            x, y = (float(trial.values[d.name]) for d in (generator, critic))
            score = view.score(trial)
            colour = "white" if score >= WORST_SCORE else colours(norm(score))
            axes.plot(
                x, y, marker=MARKERS[view.end(trial)], color=colour, markeredgecolor=INK, markersize=9,
                markeredgewidth=0.7, linestyle="",
            )  # fmt: skip
        _diagonal(axes)
        axes.set_xlabel("generator's learning rate")
        axes.set_ylabel("critic's learning rate")
        bar = figure.colorbar(mpl.cm.ScalarMappable(norm, colours), ax=axes, label="score, lower is better")
        readable_log(bar.ax, "y")
        bar.outline.set_visible(False)
        end_legend(figure, view, colours=False)
        return picture(
            "distance-by-learning-rates",
            "Who learns how fast?",
            "Each mark is a trial: its shape is the outcome, its colour the score (dark is better; white has "
            "none). On the grey line both players learn at the same rate; above it the critic is faster.",
            "Scatter of trials over both learning rates, coloured by score.",
            figure,
        )


def against_budget(view: StudyView) -> Picture | None:
    """Best so far against images, and the expected best of n random trials."""
    if len(view.measured) < 2:
        return None
    with styled():
        figure = new_figure(3.4)
        left, right = figure.subplots(1, 2, sharey=True)
        path = best_so_far(view)
        left.step([x / 1e6 for x, _ in path], [y for _, y in path], where="post", color=ACCENT)
        left.set_title("this search, in its order")
        left.set_xlabel("million images shown to any critic, all trials")
        left.set_ylabel("best score so far")
        left.set_xlim(left=0)
        _expected(right, view)
        for axes in (left, right):
            mark_anchors(axes, view, vertical=False)
        readable_log(left, "y")
        return picture(
            "best-against-budget",
            "What does more searching buy?",
            "Left: the best score found so far. Right: the best of n trials drawn at random from this study (line: "
            "mean over all draws, band: 10th to 90th percentile; trials without a distance count as the worst "
            "measured one), as Lucic et al. (2018) advise: comparing the single best results of unequal searches "
            "misleads. A searcher that learns draws better trials later, so its curve flatters chance.",
            "Two curves of best score against budget.",
            figure,
        )


def by_importance(result: Importance) -> Picture | None:
    """Bars of importance, each with what chance alone reaches."""
    if not result.bars:
        return None
    with styled():
        figure = new_figure(1.2 + 0.34 * len(result.bars))
        axes = figure.subplots()
        rows = range(len(result.bars))
        beyond = [bar.share > bar.chance for bar in result.bars]
        axes.barh(
            rows,
            [bar.share for bar in result.bars],
            height=0.6,
            color=[ACCENT if yes else "#c8c8c8" for yes in beyond],
        )
        for row, bar in zip(rows, result.bars, strict=True):
            axes.plot([bar.chance] * 2, [row - 0.38, row + 0.38], color=SECOND, linewidth=2)
        axes.plot([], [], color=SECOND, linewidth=2, label="what chance reaches")
        axes.set_yticks(rows, [bar.name for bar in result.bars])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("share of the explained variance of log distance")
        figure.legend(loc="outside lower right")
        return picture(
            "importance",
            "Which settings mattered?",
            "Functional ANOVA: how much of the differences between trials each setting explains by itself. The orange "
            "tick is the largest share that any setting had in 19 shuffles of the results: under chance, one study of "
            f"twenty has a bar beyond it. Grey bars show nothing. {result.note}",
            "; ".join(f"{bar.name} {bar.share:.0%} (chance {bar.chance:.0%})" for bar in result.bars),
            figure,
        )


def by_confirmation(view: StudyView) -> Picture | None:
    """Confirmed configurations with every seed, beside what the search believed."""
    rows = [row for row in view.rows if row.distances]
    if not rows:
        return None
    with styled():
        figure = new_figure(1.3 + 0.5 * len(rows))
        axes = figure.subplots()
        for position, row in enumerate(rows):
            axes.plot([min(row.distances), max(row.distances)], [position] * 2, color="#cfcfcf", linewidth=5, zorder=1)
            axes.plot(row.distances, [position] * len(row.distances), "o", color=ACCENT, markersize=7, zorder=3)
            axes.plot([row.mean] * 2, [position - 0.3, position + 0.3], color=INK, linewidth=2.6, zorder=2)
            if math.isfinite(row.search_score):
                axes.plot(row.search_score, position, "D", mfc="white", mec=SECOND, markersize=7, zorder=2)
        axes.plot([], [], "o", color=ACCENT, label="a fresh seed, unseen split")
        axes.plot([], [], color=INK, linewidth=2.6, label="mean")
        axes.plot([], [], "D", mfc="white", mec=SECOND, label="score in the search")
        names = [row.trial_id + (" (winner)" if row is view.winner else "") for row in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        for name, style in (("frechet_distance_gaussian", "--"), ("frechet_distance_real", ":")):
            value = rows[0].anchors.get(name)
            if value:
                axes.axvline(value, color=INK, linestyle=style, linewidth=1.1)
                text = "Gaussian" if style == "--" else "real images"
                axes.annotate(
                    text, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
                    textcoords="offset points", fontsize=8, ha="center", va="bottom",
                )  # fmt: skip
        readable_log(axes, "x")
        axes.set_xlabel("Fréchet distance on the split that the search never used")
        figure.legend(loc="outside lower center", ncols=3)
        return picture(
            "confirmation",
            "Does it hold with other seeds?",
            "The best configurations, trained again with fresh seeds; the winner has the lowest mean plus standard "
            "error. The score in the search comes from another split, counts the swing too and is the best of many, so "
            "it promises nothing for other seeds.",
            "Dots of distances by configuration; the numbers stand in the table below.",
            figure,
        )


def _expected(axes: Axes, view: StudyView) -> None:
    groups = {"all trials": view.ended}
    dimension = view.dimension_at(OBJECTIVE)
    if dimension is not None:
        found = {str(option): tuple(group) for option, group in view.groups(dimension).items()}
        groups |= {name: group for name, group in found.items() if len(group) >= 3} if len(found) > 1 else {}
    for position, (name, trials) in enumerate(groups.items()):
        curve = expected_best([view.shown_score(trial) for trial in trials])
        nums, means = [point.num for point in curve], [point.mean for point in curve]
        if position == 0:
            axes.fill_between(nums, [p.low for p in curve], [p.high for p in curve], color=FAINT, zorder=0.5)
            axes.plot(nums, means, color=INK, linewidth=2.4, label=name)
        else:
            colour, dashes = _LINES[(position - 1) % len(_LINES)], _DASHES[(position - 1) % len(_DASHES)]
            axes.plot(nums, means, color=colour, linestyle=dashes, linewidth=1.4, label=name)
    axes.set_title("best of n random trials")
    axes.set_xlabel("n")
    axes.set_xlim(left=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8, loc="upper right", handlelength=2.6)


def _diagonal(axes: Axes) -> None:
    low = max(axes.get_xlim()[0], axes.get_ylim()[0])
    high = min(axes.get_xlim()[1], axes.get_ylim()[1])
    if low < high:
        axes.plot([low, high], [low, high], color=QUIET, linewidth=0.9, zorder=0)
