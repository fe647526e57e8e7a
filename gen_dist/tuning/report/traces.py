"""How runs felt from inside: scores, gradients, variety and distance of the best trial beside those that went wrong."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from gen_dist.tuning.records import TrialRecord
from gen_dist.tuning.report.style import (
    ACCENT,
    COLOURS,
    INK,
    SECOND,
    Picture,
    new_figure,
    picture,
    readable_log,
    styled,
)
from gen_dist.tuning.report.view import End, StudyView, number
from gen_dist.tuning.trace import points

MOST_COLUMNS = 4
_FAILURE_ORDER: tuple[End, ...] = (
    "collapsed",
    "critic overpowering",
    "generator starved",
    "diverged",
    "not converged",
)
_ROWS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("critic's score", (("critic/real_score", "real", ACCENT), ("critic/fake_score", "generated", SECOND))),
    ("gradient norm", (("critic/gradient_norm", "critic", ACCENT), ("generator/gradient_norm", "generator", SECOND))),
    ("diversity", (("critic/real_diversity", "real", ACCENT), ("critic/fake_diversity", "generated", SECOND))),
)


def examples(view: StudyView) -> tuple[TrialRecord, ...]:
    """The best trial, then the best-known example of each other ending: the one that ran longest."""
    with_trace = [trial for trial in view.ranked if len(trial.trace) >= 2]
    if not with_trace:
        return ()
    chosen = [with_trace[0]]
    for end in _FAILURE_ORDER:
        group = [trial for trial in with_trace if view.end(trial) == end and trial not in chosen]
        if group:
            chosen.append(max(group, key=lambda trial: (len(trial.trace), view.shown_score(trial))))
    return tuple(chosen[:MOST_COLUMNS])


def traces(view: StudyView) -> Picture | None:
    """Small panels, a column for each example."""
    chosen = examples(view)
    if not chosen:
        return None
    with styled():
        figure = new_figure(7.4)
        panels = figure.subplots(len(_ROWS) + 1, len(chosen), squeeze=False, sharex="col")
        for column, trial in enumerate(chosen):
            end = view.end(trial)
            panels[0, column].set_title(f"{trial.id}\n{end}", color=_dark(COLOURS[end]), fontsize=9.5)
            for row, (title, lines) in enumerate(_ROWS):
                _panel(panels[row, column], trial, lines, logarithmic=title == "gradient norm")
                if column == 0:
                    panels[row, 0].set_ylabel(title)
                    panels[row, 0].legend(fontsize=8, handlelength=1.2, borderaxespad=0.1)
            _distances(panels[-1, column], view, trial)
            panels[-1, column].set_xlabel("thousand images")
        panels[-1, 0].set_ylabel("distance")
        for row in (2, 3):  # diversity and distance mean the same in every column
            _share_limits(list(panels[row]))
        return picture(
            "traces",
            "What success and failure look like",
            "The best trial on the left, and one trial of each way to end badly. In a working game the two scores stay "
            "near each other, both players keep a gradient, and generated images vary as much as real ones (orange "
            "meets blue in the third row). The dashed line is the distance of a Gaussian.",
            "; ".join(f"{trial.id} ended {view.end(trial)} at score {number(view.score(trial))}" for trial in chosen),
            figure,
        )


def _panel(axes: Axes, trial: TrialRecord, lines: Sequence[tuple[str, str, str]], *, logarithmic: bool) -> None:
    values: list[float] = []
    for name, label, colour in lines:
        found = [(x / 1e3, y) for x, y in points(trial.trace, name) if math.isfinite(y)]
        axes.plot([x for x, _ in found], [y for _, y in found], color=colour, label=label, linewidth=1.3)
        values += [y for _, y in found]
    if logarithmic and any(value > 0 for value in values):
        readable_log(axes, "y")
    elif values and max(map(abs, values)) > 1e3:
        axes.set_yscale("symlog", linthresh=10.0)
    axes.tick_params(labelsize=8)


def _distances(axes: Axes, view: StudyView, trial: TrialRecord) -> None:
    found = [(x / 1e3, y) for x, y in points(trial.evaluations, "frechet_distance") if math.isfinite(y) and y > 0]
    axes.plot([x for x, _ in found], [y for _, y in found], "o-", color=INK, markersize=3, linewidth=1.2)
    if view.gaussian:
        axes.axhline(view.gaussian, color=INK, linestyle="--", linewidth=1)
    if found:
        readable_log(axes, "y")
    axes.tick_params(labelsize=8)


def _share_limits(panels: Sequence[Axes]) -> None:
    low, high = (pick(axes.get_ylim()[side] for axes in panels) for side, pick in ((0, min), (1, max)))
    for axes in panels:
        axes.set_ylim(low, high)
        if axes.get_yscale() == "log":
            readable_log(axes, "y")


def _dark(colour: str) -> str:
    """The same hue with enough contrast for small text on white."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    factor = min(1.0, 110 / max(1.0, 0.3 * red + 0.59 * green + 0.11 * blue))
    return f"#{int(red * factor):02x}{int(green * factor):02x}{int(blue * factor):02x}"
