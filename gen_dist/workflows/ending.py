"""The end of a study: the report, the tables, and the winner."""

import io

from PIL import Image
from rich.console import Console
from rich.table import Table

from gen_dist.config import RunConfig
from gen_dist.data.dataset import open_dataset
from gen_dist.tracking.lineage import describe_phases
from gen_dist.tracking.tracker import DatasetRecord, Tracker
from gen_dist.tuning.ledger import Ledger
from gen_dist.tuning.records import TrialRecord
from gen_dist.tuning.report.render import Report, render_report, view_of
from gen_dist.tuning.report.view import StudyView

REPORT = "report.html"
FIGURES = "figures"
SHORT = {
    "objective": "objective",
    "k": "k",
    "generator_learning_rate": "lr G",
    "critic_learning_rate": "lr C",
    "learning_rate": "lr",
}


def finish_study(ledger: Ledger, tracker: Tracker, console: Console) -> StudyView:
    """Write the report beside the ledger and into MLflow, and show what was found."""
    view = view_of(ledger)
    report = render_report(view)
    ledger.storage.write_bytes(REPORT, report.html.encode())
    for name, png in report.figures.items():
        ledger.storage.write_bytes(f"{FIGURES}/{name}", png)
    _track(view, report, tracker)
    console.print(trial_table(view))
    for kind, advice in advice_by_diagnosis(view).items():
        console.print(f"[bold]{kind}[/]: {advice}", highlight=False)
    if view.rows:
        console.print(confirmation_table(view))
    for finding in report.findings:
        console.print(f"[bold]{finding.title}.[/] {finding.text}", highlight=False)
    console.print(f"report: {ledger.storage.uri}/{REPORT}", highlight=False, soft_wrap=True)
    return view


def _track(view: StudyView, report: Report, tracker: Tracker) -> None:
    study = view.study
    tracker.log_params(
        {
            name: getattr(study, name)
            for name in ("preset", "searcher", "scheduler", "num_trials", "images_per_trial", "seed", "protocol")
        }
        | {"space": study.space.name, "dimensions": ", ".join(d.name for d in study.space.dimensions)}
    )
    tracker.log_dataset(
        DatasetRecord(name=study.data_uri.rstrip("/").rsplit("/", 1)[-1], digest=study.data_digest, uri=study.data_uri)
    )
    model = RunConfig.from_json(study.base_config).model
    tracker.log_text(describe_phases(model.build(open_dataset(study.data_uri).spec)), "phases.txt")
    tracker.log_text(report.html, REPORT)
    for name, png in report.figures.items():
        tracker.log_image(Image.open(io.BytesIO(png)), f"{FIGURES}/{name}")
    if view.ranked and view.ranked[0].score is not None:
        tracker.log_metrics(0, {"best_score": view.ranked[0].score})
    if view.winner is not None:
        tracker.log_metrics(0, {"confirmed_frechet_distance": view.winner.mean})
        tracker.set_tags({"winner": view.winner.trial_id})


def trial_table(view: StudyView) -> Table:
    """All trials, the best first, each with its diagnosis."""
    searched = {dimension.name for dimension in view.study.space.dimensions}
    names = [name for name in SHORT if name in searched]  # the report has the others too
    table = Table(
        "trial", "distance", "diagnosis", *(SHORT.get(n, n) for n in names), title=f"{len(view.ended)} trials"
    )
    for trial in view.ranked:
        settings = (_shown(trial.values[name]) if name in trial.values else "" for name in names)
        table.add_row(trial.id, _distance(trial), _fate(trial), *settings)
    return table


def advice_by_diagnosis(view: StudyView) -> dict[str, str]:
    """What to do about each diagnosis that was made, as the best trial that got it was told."""
    advice: dict[str, str] = {}
    for trial in view.ranked:
        if trial.outcome is not None:
            advice.setdefault(trial.outcome.kind, trial.outcome.advice)
        elif trial.error is not None:
            advice.setdefault("crashed", trial.error)
    return advice


def confirmation_table(view: StudyView) -> Table:
    """The configurations that were trained again, the winner first, with the anchors of their split."""
    table = Table(
        "trial",
        "mean distance",
        "spread",
        "seeds",
        "failed",
        "real images",
        "Gaussian",
        title="confirmed on the test split",
    )
    for row in view.rows:
        anchors = (row.anchors.get(f"frechet_distance_{name}") for name in ("real", "gaussian"))
        table.add_row(
            row.trial_id,
            f"{row.mean:.4g}",
            "-" if row.spread is None else f"{row.spread:.2g}",
            str(len(row.distances)),
            str(row.failed),
            *("-" if anchor is None else f"{anchor:.4g}" for anchor in anchors),
        )
    return table


def _distance(trial: TrialRecord) -> str:
    return f"{trial.evaluations[-1]['frechet_distance']:.4g}" if trial.evaluations else "-"


def _fate(trial: TrialRecord) -> str:
    kind = trial.outcome.kind if trial.outcome else "crashed"
    return f"{kind}, stopped early" if trial.stopped_early else kind


def _shown(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
