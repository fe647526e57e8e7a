"""From the ledger to the report: figures, findings, page."""

from dataclasses import dataclass, replace

from gen_dist.tuning.ledger import Ledger
from gen_dist.tuning.report.analysis import importance
from gen_dist.tuning.report.charts import against_budget, by_confirmation, by_importance, by_learning_rates
from gen_dist.tuning.report.page import page, shown_with_samples
from gen_dist.tuning.report.strips import by_objective_and_k, by_other_settings
from gen_dist.tuning.report.summary import Finding, summary
from gen_dist.tuning.report.traces import traces
from gen_dist.tuning.report.view import StudyView


@dataclass(frozen=True, slots=True)
class Report:
    """A finished report.

    Attributes:
        html: one self-contained file.
        figures: PNG files by file name ("importance.png").
        findings: the summary, for a terminal or a run's description.
    """

    html: str
    figures: dict[str, bytes]
    findings: tuple[Finding, ...]


def render_report(view: StudyView) -> Report:
    """Everything that there is to show. A study without trials gets a page that says so."""
    found = importance(view)
    drawn = (
        by_objective_and_k(view),
        by_learning_rates(view),
        by_other_settings(view),
        by_confirmation(view),
        against_budget(view),
        by_importance(found),
        traces(view),
    )
    pictures = [picture for picture in drawn if picture is not None]
    findings = summary(view, found)
    omitted = [] if found.bars else [Finding("Which settings mattered?", found.note)]
    return Report(
        html=page(view, pictures, findings, omitted),
        figures={f"{picture.name}.png": picture.png for picture in pictures},
        findings=findings,
    )


def view_of(ledger: Ledger) -> StudyView:
    """A study with the sample sheets that its report shows, read from where it lies.

    Raises:
        LedgerError: a file of the ledger was edited or cut off.
    """
    view = StudyView(ledger.study, ledger.trials(), ledger.confirmations())
    sheets: dict[str, bytes] = {}
    for trial in shown_with_samples([trial for trial in view.ranked if trial.sample_sheet is not None]):
        assert trial.sample_sheet is not None
        if ledger.storage.exists(trial.sample_sheet):
            sheets[trial.id] = ledger.storage.read_bytes(trial.sample_sheet)
    return replace(view, sheets=sheets)
