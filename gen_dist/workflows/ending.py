"""The end of a study: the report, the tables, and the winner."""

from rich.console import Console
from rich.table import Table

from gen_dist.tracking.tracker import Tracker
from gen_dist.tuning.ledger import Ledger
from gen_dist.tuning.records import TrialRecord
from gen_dist.tuning.report.render import render_report, view_of
from gen_dist.tuning.report.view import StudyView
from gen_dist.workflows.study_page import FIGURES, REPORT, show_results

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
    show_results(view, report, tracker)
    console.print(trial_table(view))
    for kind, advice in advice_by_diagnosis(view).items():
        console.print(f"[bold]{kind}[/]: {advice}", highlight=False)
    if view.rows:
        console.print(confirmation_table(view))
    for finding in report.findings:
        console.print(f"[bold]{finding.title}.[/] {finding.text}", highlight=False)
    console.print(f"report: {ledger.storage.uri}/{REPORT}", highlight=False, soft_wrap=True)
    return view


def how_to_go_on(view: StudyView, studies: str) -> str | None:
    """What to type where the time was over before all trials had ended; None where they have."""
    if len(view.ended) >= view.study.num_trials:
        return None
    return (
        f"the time was over after {len(view.ended)} of {view.study.num_trials} trials; for more, go on with: "
        f"gen-dist tune --resume {view.study.name} --studies {studies} --time-budget 20m"
    )


def trial_table(view: StudyView) -> Table:
    """All trials, the best first, each with its diagnosis."""
    searched = {dimension.name for dimension in view.study.space.dimensions}
    names = [name for name in SHORT if name in searched]  # the report has the others too
    title = "1 trial" if len(view.ended) == 1 else f"{len(view.ended)} trials"
    table = Table("trial", "distance", "diagnosis", *(SHORT.get(n, n) for n in names), title=title)
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
