from dataclasses import replace

from made_studies import STUDY, made_view

from gen_dist.commands.import_ import import_dataset
from gen_dist.presets import preset
from gen_dist.tracking.tracker import NoTracker
from gen_dist.tuning.report.render import render_report
from gen_dist.workflows.study_page import DESCRIPTION, show_results, show_terms


class Page(NoTracker):
    """What a study's run in MLflow would show."""

    def __init__(self) -> None:
        self.params: dict[str, object] = {}
        self.tags: dict[str, str] = {}
        self.files: set[str] = set()

    def log_params(self, params) -> None:
        self.params |= params

    def set_tags(self, tags) -> None:
        self.tags |= tags

    def log_text(self, text, name) -> None:
        self.files.add(name)

    def log_image(self, image, name) -> None:
        self.files.add(name)


def test_mlflow_says_what_is_searched_from_the_start_and_what_was_found_at_the_end(tmp_path):
    import_dataset("digits", str(tmp_path / "digits"))
    study = replace(STUDY, base_config=preset("dcgan-8").to_json(), data_uri=str(tmp_path / "digits"))
    page = Page()
    show_terms(study, page)
    assert page.params.items() >= {("preset", "dcgan-8"), ("num_trials", 30), ("space", "stability")}
    assert page.files == {"phases.txt"}
    terms = page.tags[DESCRIPTION]
    assert all(said in terms for said in ("`dcgan-8` on digits", "30 trials of 1,000 images", "`critic_learning_rate`"))
    assert "running" in terms
    view = made_view(num=9, study=study)
    rendered = render_report(view)
    show_results(view, rendered, page)
    assert page.files >= {"report.html", *(f"figures/{name}" for name in rendered.figures)}
    assert page.tags["winner"] == view.winner.trial_id
    assert "running" not in page.tags[DESCRIPTION]
    assert all(finding.text in page.tags[DESCRIPTION] for finding in rendered.findings)
