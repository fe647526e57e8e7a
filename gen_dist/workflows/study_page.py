"""What MLflow's page of a study shows: its terms from the start, what came of it at the end."""

import io

from PIL import Image

from gen_dist.config import RunConfig
from gen_dist.data.dataset import open_dataset
from gen_dist.tracking.lineage import describe_phases
from gen_dist.tracking.tracker import DatasetRecord, Tracker
from gen_dist.tuning.records import StudyRecord
from gen_dist.tuning.report.render import Report
from gen_dist.tuning.report.view import StudyView

REPORT = "report.html"
FIGURES = "figures"
DESCRIPTION = "mlflow.note.content"  # MLflow shows this tag as Markdown, above everything else


def show_terms(study: StudyRecord, tracker: Tracker) -> None:
    """What is searched, on which data, and what a round of the game is; a resumed study says the same again."""
    tracker.log_params(
        {
            name: getattr(study, name)
            for name in ("preset", "searcher", "scheduler", "num_trials", "images_per_trial", "seed", "protocol")
        }
        | {"space": study.space.name, "dimensions": ", ".join(d.name for d in study.space.dimensions)}
    )
    tracker.log_dataset(DatasetRecord(name=_data_name(study), digest=study.data_digest, uri=study.data_uri))
    model = RunConfig.from_json(study.base_config).model
    tracker.log_text(describe_phases(model.build(open_dataset(study.data_uri).spec)), "phases.txt")
    tracker.set_tags({DESCRIPTION: f"{_terms(study)}\n\nIt is running, or was interrupted."})


def show_results(view: StudyView, report: Report, tracker: Tracker) -> None:
    """The report with its figures, the best distances, and the winner."""
    tracker.log_text(report.html, REPORT)
    for name, png in report.figures.items():
        tracker.log_image(Image.open(io.BytesIO(png)), f"{FIGURES}/{name}")
    if view.ranked and view.ranked[0].score is not None:
        tracker.log_metrics(0, {"best_score": view.ranked[0].score})
    if view.winner is not None:
        tracker.log_metrics(0, {"confirmed_frechet_distance": view.winner.mean})
        tracker.set_tags({"winner": view.winner.trial_id})
    findings = "\n".join(f"- **{finding.title}.** {finding.text}" for finding in report.findings)
    tracker.set_tags({DESCRIPTION: f"{_terms(view.study)}\n\n{findings}\n\nAll of it: `{REPORT}` among the artifacts."})


def _terms(study: StudyRecord) -> str:
    dimensions = ", ".join(f"`{dimension.name}`" for dimension in study.space.dimensions)
    return (
        f"Search for stable settings of `{study.preset}` on {_data_name(study)}: {study.num_trials} trials of "
        f"{study.images_per_trial:,} images over {dimensions}. Each trial is a run below this one; its tag "
        "`outcome` says how it ended."
    )


def _data_name(study: StudyRecord) -> str:
    return study.data_uri.rstrip("/").rsplit("/", 1)[-1]
