"""How the report's figures look: one palette that colour-blind readers can tell apart, shapes besides colours."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from gen_dist.tuning.report.view import ENDS, End, StudyView

COLOURS: dict[End, str] = {
    "healthy": "#009E73",
    "not converged": "#56B4E9",
    "collapsed": "#E69F00",
    "critic overpowering": "#D55E00",
    "generator starved": "#CC79A7",
    "diverged": "#000000",
    "crashed": "#888888",
}
"""The palette of Okabe and Ito (2008)."""

MARKERS: dict[End, str] = {
    "healthy": "o",
    "not converged": "s",
    "collapsed": "v",
    "critic overpowering": "^",
    "generator starved": "D",
    "diverged": "X",
    "crashed": "P",
}

INK = "#222222"
QUIET = "#767676"
FAINT = "#e4e4e4"
ACCENT = "#0072B2"
SECOND = "#D55E00"

WIDTH = 8.6
"""Inches; the report shows figures at about this width."""

_SETTINGS = {
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "gen_dist",
    "text.color": INK,
    "xtick.color": QUIET,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.color": QUIET,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9,
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One figure of the report.

    Attributes:
        name: of its file.
        title: above it.
        caption: how to read it, and what it shows.
        alternative: for readers who can't see it.
        svg: for the page.
        png: for a tracking server.
    """

    name: str
    title: str
    caption: str
    alternative: str
    svg: bytes
    png: bytes


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside this, so that nobody's own settings change the report, nor the report theirs."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(height: float) -> Figure:
    """An empty figure of the report's width, outside any global state."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def picture(name: str, title: str, caption: str, alternative: str, figure: Figure) -> Picture:
    """Render a figure both ways."""
    files = {}
    for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
        files[kind] = buffer.getvalue()
    return Picture(name=name, title=title, caption=caption, alternative=alternative, svg=files["svg"], png=files["png"])


def end_legend(figure: Figure, view: StudyView, *, colours: bool = True) -> None:
    """Shapes of the outcomes that occur, below the panels; without their colours where those say something else."""
    present = [end for end in ENDS if any(view.end(trial) == end for trial in view.ended)]
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=MARKERS[end],
            markersize=7,
            label=end,
            markerfacecolor=COLOURS[end] if colours else "white",
            markeredgecolor=COLOURS[end] if colours else INK,
        )
        for end in present
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), handletextpad=0.2)


def readable_log(axes: Axes, axis: str) -> None:
    """Make an axis logarithmic with ticks at 1, 2 and 5, written as plain numbers; fewer where decades are many."""
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    target = axes.xaxis if axis == "x" else axes.yaxis
    limits = axes.get_xlim() if axis == "x" else axes.get_ylim()
    decades = math.log10(max(limits) / min(limits)) if min(limits) > 0 else 1.0
    target.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.2 else (1.0,), numticks=12))
    target.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    target.set_minor_locator(NullLocator() if decades < 2.2 else LogLocator(subs="auto", numticks=12))
    target.set_minor_formatter(NullFormatter())


def mark_anchors(axes: Axes, view: StudyView, *, vertical: bool) -> None:
    """Lines at the distances of a Gaussian and of real images."""
    for value, name, style in ((view.gaussian, "Gaussian", "--"), (view.real, "real images", ":")):
        if value is None or value <= 0:
            continue
        draw = axes.axvline if vertical else axes.axhline
        draw(value, color=INK, linestyle=style, linewidth=1.1, zorder=1.5)
        axes.annotate(
            name,
            (value, 1.0) if vertical else (0.02, value),
            xycoords=("data", "axes fraction") if vertical else ("axes fraction", "data"),
            ha="center" if vertical else "left",
            va="bottom",
            xytext=(0, 2),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
