"""The report as one HTML file: every picture inside it, no script, nothing fetched from anywhere."""

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined

from gen_dist.tuning.records import TrialRecord
from gen_dist.tuning.report.style import COLOURS, Picture
from gen_dist.tuning.report.summary import Finding
from gen_dist.tuning.report.view import ENDS, GAUSSIAN, REAL, End, StudyView, label, number, show
from gen_dist.tuning.score import WORST_SCORE

MOST_SHEETS = 4

MEANINGS: dict[End, str] = {
    "healthy": "Nothing is wrong, and the distance is below that of a Gaussian fitted to the pixels.",
    "not converged": "Nothing broke, but the budget ended before the model was better than a Gaussian, or it swings.",
    "collapsed": "The generator makes few kinds of images: it lost variety, or settled on a part of the data.",
    "critic overpowering": "The critic tells nearly every image apart (or broke its Lipschitz constraint), and the "
    "generator can't follow.",
    "generator starved": "The critic is so certain that next to no gradient reaches the generator.",
    "diverged": "A number left the finite range, or gradients grew beyond any use.",
    "crashed": "The trial's process ended with an error; that says nothing about its settings.",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sample sheet with its label."""

    id: str
    end: str
    score: str
    colour: str
    png: bytes


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A line of the table of trials, as text."""

    id: str
    winner: bool
    score: str
    values: list[str]
    end: str
    colour: str
    note: str
    evidence: list[str]
    advice: str
    images: str
    steps: str
    seconds: str


@dataclass(frozen=True, slots=True)
class ConfirmationLine:
    """A line of the table of confirmed configurations, as text."""

    id: str
    winner: bool
    search: str
    distances: str
    mean: str
    spread: str
    bound: str
    ratio: str
    failed: int


@dataclass(frozen=True, slots=True)
class Ending:
    """An entry of the glossary."""

    end: str
    colour: str
    count: int
    meaning: str


def page(view: StudyView, pictures: Sequence[Picture], findings: Sequence[Finding], omitted: Sequence[Finding]) -> str:
    """The whole page. Every text is escaped; only pictures are embedded as they are, encoded."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = _base64
    source = resources.files("gen_dist.tuning.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    counts = Counter(view.end(trial) for trial in view.ended)
    return environment.from_string(source).render(
        study=view.study,
        terms=_terms(view),
        findings=findings,
        pictures=pictures,
        omitted=omitted,
        sheets=_sheets(view),
        dimensions=[label(dimension.name) for dimension in view.study.space.dimensions],
        trials=[_trial_row(view, trial) for trial in view.ranked],
        rows=_confirmation_lines(view),
        anchors=_anchors(view),
        glossary=[Ending(end, COLOURS[end], counts[end], MEANINGS[end]) for end in ENDS],
        method=_method(view),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _terms(view: StudyView) -> str:
    study = view.study
    searcher = {"tpe": "TPE", "random": "random search"}.get(study.searcher, study.searcher)
    scheduler = "" if study.scheduler in ("", "none") else f" with {study.scheduler}"
    images = sum(trial.spent.images for trial in view.trials)
    minutes = sum(trial.spent.seconds for trial in view.trials) / 60
    spent = f"{minutes / 60:.1f} hours" if minutes >= 60 else f"{minutes:.1f} minutes"
    return (
        f"{len(view.ended)} trials of the space “{study.space.name}” on the preset {study.preset}, by "
        f"{searcher}{scheduler}; data {study.data_uri} ({study.data_digest[:12]}); {images:,} images and {spent} of "
        f"training in all; begun {study.created}."
    )


def _method(view: StudyView) -> str:
    study = view.study
    protocol = f"{study.protocol.rstrip('.')}. " if study.protocol else ""
    return (
        f"{protocol}The stability score is the mean of a trial's last evaluations on the {study.search_split} split "
        "plus how far they swing around their own straight line; a diverged trial has the worst score there is. A full "
        f"trial shows {study.images_per_trial:,} images to its critic, whatever k is: with k critic steps for each "
        "step of the generator, the generator moves k times less often on the same budget. The seed of the search is "
        f"{study.seed}. Diagnoses are rules over the traces; each trial's evidence stands in its row."
    )


def shown_with_samples(trials: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The best and the worst few of ranked trials that have samples."""
    best, rest = trials[:MOST_SHEETS], trials[MOST_SHEETS:]
    return (*best, *rest[-MOST_SHEETS:])


def _sheets(view: StudyView) -> list[Sheet]:
    return [
        Sheet(trial.id, view.end(trial), _score(view, trial), COLOURS[view.end(trial)], view.sheets[trial.id])
        for trial in shown_with_samples([trial for trial in view.ranked if trial.id in view.sheets])
    ]


def _trial_row(view: StudyView, trial: TrialRecord) -> TrialRow:
    outcome, end = trial.outcome, view.end(trial)
    evidence = [] if outcome is None else [str(fact) for fact in outcome.evidence]
    if outcome is not None and outcome.divergence is not None:
        evidence.insert(0, str(outcome.divergence))
    if trial.error:
        evidence.append(trial.error)
    if trial.parent:
        evidence.append(f"took over the weights of {trial.parent}")
    updates = trial.spent.updates
    names = sorted(updates, key=lambda name: (name != "critic", name))
    return TrialRow(
        id=trial.id,
        winner=view.winner is not None and view.winner.trial_id == trial.id,
        score=_score(view, trial),
        values=[show(trial.values[d.name]) if d.name in trial.values else "" for d in view.study.space.dimensions],
        end=end,
        colour=COLOURS[end],
        note="stopped early" if trial.stopped_early else "",
        evidence=evidence,
        advice="" if outcome is None else outcome.advice,
        images=f"{trial.spent.images:,}",
        steps=" + ".join(f"{updates[name]:,}" for name in names),
        seconds=f"{trial.spent.seconds:.0f}",
    )


def _confirmation_lines(view: StudyView) -> list[ConfirmationLine]:
    lines = []
    for row in view.rows:
        gaussian = row.anchors.get(GAUSSIAN)
        lines.append(
            ConfirmationLine(
                id=row.trial_id,
                winner=row is view.winner,
                search=number(row.search_score),
                distances=", ".join(map(number, row.distances)) or "none",
                mean=number(row.mean),
                spread="one seed" if row.spread is None else number(row.spread),
                bound=number(row.bound),
                ratio=f"{row.mean / gaussian:.0%}" if gaussian and row.distances else "",
                failed=row.failed,
            )
        )
    return lines


def _anchors(view: StudyView) -> str:
    anchors = next((row.anchors for row in view.rows if row.anchors), {})
    parts = []
    if GAUSSIAN in anchors:
        parts.append(f"A Gaussian fitted to the pixels has the distance {number(anchors[GAUSSIAN])}")
    if REAL in anchors:
        parts.append(f"other real images have {number(anchors[REAL])}, about as low as a distance gets here")
    return ("; ".join(parts) + ".") if parts else ""


def _score(view: StudyView, trial: TrialRecord) -> str:
    score = view.score(trial)
    return "none" if score >= WORST_SCORE else number(score)
