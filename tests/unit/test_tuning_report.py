import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import pytest
from made_studies import STUDY, made_view, png
from PIL import Image

from gen_dist.commands.report import report
from gen_dist.data.storage import open_storage
from gen_dist.tuning.ledger import create_ledger, trial_folder
from gen_dist.tuning.records import TrialRecord
from gen_dist.tuning.report.analysis import Importance
from gen_dist.tuning.report.render import render_report
from gen_dist.tuning.report.summary import summary
from gen_dist.tuning.score import WORST_SCORE
from gen_dist.tuning.spaces import LUCIC
from gen_dist.workflows.ending import how_to_go_on

NO_IMPORTANCE = Importance((), "not asked")


def texts(view, title):
    return next(finding.text for finding in summary(view, NO_IMPORTANCE) if finding.title == title)


@pytest.fixture(scope="module")
def rendered():
    return render_report(made_view())


class Checker(HTMLParser):
    """Collects what a page would fetch or run, and whether its tags are balanced."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.tags, self.alternatives = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag == "img":
            self.alternatives.append(attributes.get("alt"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(rendered):
    checker = Checker()
    checker.feed(rendered.html)
    assert checker.open == []
    assert "script" not in checker.tags
    assert all(source.startswith(("data:image/", "#")) for source in checker.sources)
    assert not re.search(r"url\(|@import|http", rendered.html.replace("http://www.w3.org", ""))


def test_every_picture_says_in_words_what_it_shows(rendered):
    checker = Checker()
    checker.feed(rendered.html)
    assert len(checker.alternatives) >= 7
    assert all(checker.alternatives)


def test_names_from_a_study_are_escaped(rendered):
    assert "alert(1)" in rendered.html
    assert "<script" not in rendered.html
    assert "output of &lt;3&gt;" in rendered.html


def test_every_figure_is_there_and_is_a_picture(rendered):
    assert set(rendered.figures) == {
        "distance-by-objective-and-k.png",
        "distance-by-learning-rates.png",
        "distance-by-other-settings.png",
        "confirmation.png",
        "best-against-budget.png",
        "importance.png",
        "traces.png",
    }
    for data in rendered.figures.values():
        image = Image.open(BytesIO(data))
        assert image.width > 1000
        assert len(image.convert("L").getcolors()) > 10


def test_every_trial_stands_in_the_table_with_its_diagnosis(rendered):
    view = made_view()
    for trial in view.trials:
        assert f"<td>{trial.id}" in rendered.html
    assert rendered.html.count("<details>") == len(view.trials)
    assert "critic in phase critic, round 3" in rendered.html
    assert "20 + 10" in rendered.html


def test_the_summary_names_the_result_the_failures_and_the_winner():
    view = made_view()
    failed = sum(view.failed(trial) for trial in view.trials)
    assert 0 < failed < 30
    assert f"{30 - failed} of 30 trials ended healthy" in texts(view, "Result")
    assert f"the winner is {view.ranked[0].id}" in texts(view, "Result")
    assert "mean distance 0.950, standard deviation 0.0707" in texts(view, "Result")
    assert "48% of the distance of a Gaussian" in texts(view, "Result")
    assert f"{failed} of 30 trials failed" in texts(view, "Failures")
    assert f"{failed} diverged" in texts(view, "Failures")


def test_the_summary_finds_where_trials_break():
    view = made_view()
    failed = sum(view.failed(trial) for trial in view.trials)
    text = texts(view, "Where it breaks")
    assert f"{failed} of {failed} trials failed; below it, 0 of {30 - failed}" in text
    threshold = float(re.search(r"critic learning rate above ([\d.e-]+)", text)[1].rstrip("."))
    rates = sorted(trial.values["critic_learning_rate"] for trial in view.trials)
    assert max(r for r in rates if r <= 2e-3) <= threshold <= min(r for r in rates if r > 2e-3)


def test_the_summary_says_how_trials_failed_on_either_side_of_equal_rates():
    view = made_view()
    rates = [
        (trial.values["critic_learning_rate"] / trial.values["generator_learning_rate"], view.failed(trial))
        for trial in view.trials
    ]
    critic = [failed for ratio, failed in rates if ratio > 10]
    generator = [failed for ratio, failed in rates if ratio < 0.1]
    text = texts(view, "Learning rates")
    assert f"the critic more than ten times faster: {sum(critic)} of {len(critic)} failed, mostly diverged" in text
    assert f"the generator more than ten times faster: {sum(generator)} of {len(generator)} failed" in text


def test_differences_that_chance_explains_are_called_so():
    assert "by chance" in texts(made_view(), "Objective")


def test_a_model_worse_than_a_gaussian_is_told_so():
    anchors = {"frechet_distance_gaussian": 0.01}
    assert "worse than a Gaussian" in texts(made_view(study=replace(STUDY, anchors=anchors)), "Result")


def test_a_shared_learning_rate_has_no_plane_but_a_panel_of_its_own():
    study = replace(STUDY, space=LUCIC)
    written = render_report(made_view(num=10, study=study))
    assert "distance-by-learning-rates.png" not in written.figures
    assert "too few to tell importance" in written.html


@pytest.mark.parametrize("num", [0, 1, 2])
def test_a_study_with_hardly_any_trials_has_a_page_too(num):
    view = replace(made_view(), trials=made_view().trials[:num], confirmations=())
    assert "All trials" in render_report(view).html


def test_a_study_in_which_everything_broke_has_a_page_too():
    view = made_view(confirmations=())
    broken = tuple(trial for trial in view.trials if trial.score == WORST_SCORE)
    crashed = TrialRecord(id="t9999", number=99, values={}, config="{}", state="failed", error="out of memory")
    written = render_report(replace(view, trials=(*broken, crashed)))
    assert "None of" in written.findings[0].text
    assert "out of memory" in written.html


def test_rendering_twice_gives_the_same_page():
    view = made_view(num=3)
    assert render_report(view).html == render_report(view).html


def test_the_command_writes_the_report_of_a_study(tmp_path, capsys):
    view = made_view(num=9)
    ledger = create_ledger(open_storage(tmp_path / "studies" / "spring"), view.study)
    for trial in view.trials:
        ledger.write_trial(trial)
        ledger.storage.write_bytes(f"{trial_folder(trial.id)}/samples.png", png())
    report("spring", studies=str(tmp_path / "studies"))
    page = (tmp_path / "studies" / "spring" / "report.html").read_text()
    assert page.count("<img") >= 4 + 8  # figures, and the sheets of the best and the worst four
    assert "9 trials" in page
    assert "Result." in capsys.readouterr().out
    report(str(tmp_path / "studies" / "spring"), out=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "report.html").read_text() == page
    assert (tmp_path / "elsewhere" / "figures" / "best-against-budget.png").exists()


def test_a_study_that_was_cut_off_says_how_to_go_on():
    whole = made_view()
    assert len(whole.ended) == whole.study.num_trials
    assert how_to_go_on(whole, "studies") is None
    cut = replace(whole, trials=whole.trials[:3])
    assert "after 3 of 30 trials" in how_to_go_on(cut, "s3://b/s")
    assert f"gen-dist tune --resume {STUDY.name} --studies s3://b/s" in how_to_go_on(cut, "s3://b/s")
    assert "before the first trial" in texts(replace(whole, trials=(), confirmations=()), "Result")


def test_the_command_refuses_a_study_that_is_not_there_or_has_nothing_to_tell(tmp_path):
    with pytest.raises(ValueError, match="there is no study at"):
        report("autumn", studies=str(tmp_path))
    create_ledger(open_storage(tmp_path / "winter"), STUDY)
    with pytest.raises(ValueError, match="no trial of"):
        report("winter", studies=str(tmp_path))
