"""The diagnosis against traces of runs that were really driven into each state (tests/fixtures/make_traces.py)."""

import json
import math
from pathlib import Path

import pytest

from gen_dist.tuning.diagnosis import diagnose
from gen_dist.tuning.outcome import Divergence
from gen_dist.tuning.score import WORST_SCORE, stability_score
from gen_dist.tuning.trace import thin

TRACES = Path(__file__).parent.parent / "fixtures" / "traces"

EXPECTED = {
    "healthy": "healthy",
    "healthy-wasserstein": "healthy",
    "diverged": "diverged",
    "exploded": "diverged",
    "starved": "generator starved",
    "starved-saturated": "generator starved",
    "overpowering": "critic overpowering",
    "overpowering-wasserstein": "critic overpowering",
    "collapsed": "collapsed",
    "collapsed-hinge": "collapsed",
    "not-begun": "not converged",
    "still-improving": "not converged",
}


def load(name):
    return json.loads((TRACES / f"{name}.json").read_text())


def outcome_of(case, **changes):
    case = {**case, **changes}
    facts = case["divergence"]
    return diagnose(
        case["trace"],
        case["evaluations"],
        objective=case["objective"],
        anchors=case["anchors"],
        divergence=None if facts is None else Divergence.from_facts(facts),
    )


def with_columns(case, source, *prefixes):
    """The case's reports with some columns of another run, stretched to the same length."""
    last = len(case["trace"]) - 1
    rows = []
    for position, row in enumerate(case["trace"]):
        other = source["trace"][round(position * (len(source["trace"]) - 1) / last)]
        rows.append({**row, **{k: v for k, v in other.items() if k.startswith(prefixes)}})
    return {**case, "trace": rows}


def test_every_stored_trace_has_an_expectation():
    assert {path.stem for path in TRACES.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize(("name", "kind"), EXPECTED.items())
def test_a_run_driven_into_a_state_is_diagnosed_so(name, kind):
    outcome = outcome_of(load(name))
    assert outcome.kind == kind
    assert outcome.advice.endswith(".")
    assert outcome.evidence or outcome.divergence


@pytest.mark.parametrize("name", EXPECTED)
def test_the_evidence_really_crosses_its_threshold_or_the_run_is_healthy(name):
    outcome = outcome_of(load(name))
    if outcome.kind in ("collapsed", "generator starved"):
        assert outcome.evidence[0].value < outcome.evidence[0].threshold
    if outcome.kind in ("critic overpowering", "not converged"):
        assert outcome.evidence[0].value > outcome.evidence[0].threshold


def test_a_divergence_says_where():
    outcome = outcome_of(load("diverged"))
    assert outcome.divergence is not None
    assert (outcome.divergence.phase, outcome.divergence.player) == ("generator", "generator")
    assert outcome.divergence.round == 0
    assert outcome.divergence.tensor == "output of critic.6 (Linear)"
    assert "generator's learning rate" in outcome.advice


def test_a_report_that_is_not_finite_is_a_divergence_though_nobody_caught_it():
    case = load("healthy")
    broken = [dict(row) for row in case["trace"]]
    broken[7]["critic/loss"] = math.nan
    outcome = outcome_of(case, trace=broken)
    assert outcome.kind == "diverged"
    assert outcome.divergence == Divergence(
        phase="critic", player="critic", round=int(broken[7]["round"]), repeat=0, tensor="reported critic/loss, nan"
    )
    assert outcome.evidence[0].value == pytest.approx(broken[-1]["critic/gradient_norm"])


def test_an_explosion_of_finite_numbers_names_the_player():
    (fact,) = outcome_of(load("exploded")).evidence
    assert fact.name == "largest gradient norm of the critic"
    assert fact.value > 1e12


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("starved", ("critic/real_accuracy", "critic/fake_accuracy")),
        ("starved-saturated", ("critic/real_accuracy", "critic/fake_accuracy")),
        ("overpowering", ("critic/real_accuracy", "critic/fake_accuracy")),
        ("collapsed", ("critic/real_diversity", "critic/fake_diversity")),
        ("collapsed-hinge", ("critic/real_diversity", "critic/fake_diversity")),
        ("exploded", ("critic/gradient_norm", "generator/gradient_norm")),
    ],
)
def test_without_its_symptom_a_run_is_diagnosed_otherwise(name, columns):
    case = load(name)
    cured = with_columns(case, load("healthy"), *columns)
    whole = [{**row, "modes_covered": 1.0} for row in case["evaluations"]]
    assert outcome_of(cured, evaluations=whole).kind != outcome_of(case).kind


def test_without_its_broken_penalty_a_wasserstein_critic_is_not_accused():
    case = load("overpowering-wasserstein")
    cured = with_columns(case, load("healthy-wasserstein"), "critic/penalty")
    assert outcome_of(cured).kind == "not converged"


@pytest.mark.parametrize("objective", ["wasserstein-clip", "wasserstein-gp"])
def test_a_wasserstein_critic_may_separate_as_well_as_it_can(objective):
    case = load("overpowering")
    steady = [{**row, "critic/real_score": 1.0, "critic/fake_score": -1.0} for row in case["trace"]]
    assert outcome_of(case, trace=steady).kind == "critic overpowering"
    assert outcome_of(case, trace=steady, objective=objective).kind == "not converged"


def test_a_wasserstein_gap_that_runs_away_is_an_overpowering_critic():
    case = load("overpowering")
    last = len(case["trace"]) - 1
    growing = [
        {**row, "critic/real_score": 1.0 + 9.0 * n / last, "critic/fake_score": 0.0}
        for n, row in enumerate(case["trace"])
    ]
    outcome = outcome_of(case, trace=growing, objective="wasserstein-clip")
    assert outcome.kind == "critic overpowering"
    assert outcome.evidence[0].name == "growth of the gap between scores"


def test_only_the_minimax_loss_starves_on_a_certain_critic():
    case = load("starved")
    assert "non-saturating" in outcome_of(case).advice
    assert outcome_of(case, objective="non-saturating").kind == "critic overpowering"


def test_a_model_that_beats_the_gaussian_is_not_accused_of_a_strong_critic():
    case = load("overpowering")
    good = [{**row, "frechet_distance": 0.5} for row in case["evaluations"]]
    assert outcome_of(case, evaluations=good).kind == "healthy"


def test_a_run_that_loses_what_it_had_is_not_converged():
    case = load("healthy")
    lost = [*case["evaluations"][:-1], {**case["evaluations"][-1], "frechet_distance": 1.7}]
    outcome = outcome_of(case, evaluations=lost)
    assert outcome.kind == "not converged"
    assert [fact.name for fact in outcome.evidence] == ["last distance over the best"]
    assert "swings" in outcome.advice


def test_a_slow_start_is_no_collapse():
    """The first reports of a healthy run have little variety too; it is only on its way."""
    case = load("healthy")
    early = [row for row in case["trace"] if row["samples_seen"] <= 6_000]
    bad = [{"samples_seen": 6_000.0, "frechet_distance": 9.0, "modes_covered": 0.3}]
    assert len(early) >= 3
    assert outcome_of(case, trace=early, evaluations=bad).kind == "not converged"


def test_few_classes_and_no_progress_are_a_collapse_although_pixels_vary():
    case = load("healthy")
    stuck = [{**row, "frechet_distance": 4.0, "modes_covered": 0.4} for row in case["evaluations"]]
    stuck[0]["frechet_distance"] = 8.0
    outcome = outcome_of(case, evaluations=stuck)
    assert outcome.kind == "collapsed"
    assert outcome.evidence[0].name == "share of classes reached"
    assert outcome_of(case, evaluations=stuck[-1:]).kind == "not converged"  # one look tells nothing of progress


def test_one_image_after_another_is_a_collapse_and_one_grey_image_is_a_slow_start():
    case = load("healthy")
    one_image = [{**row, "critic/fake_diversity": 0.03 * row["critic/real_diversity"]} for row in case["trace"]]
    calm = [{**row, "frechet_distance": 9.0, "modes_covered": 0.1} for row in case["evaluations"]]
    restless = [{**row, "frechet_distance": 9.0 + 4.0 * (n % 2)} for n, row in enumerate(calm)]
    assert outcome_of(case, trace=one_image, evaluations=calm).kind == "not converged"
    assert outcome_of(case, trace=one_image, evaluations=restless).kind == "collapsed"


def test_advice_for_a_run_that_needs_more_images_says_so():
    assert "more images" in outcome_of(load("still-improving")).advice
    assert "hardly begun" in outcome_of(load("not-begun")).advice


def test_a_trace_without_evaluations_still_shows_what_it_can():
    assert outcome_of(load("collapsed"), evaluations=[], anchors={}).kind == "collapsed"
    assert outcome_of(load("starved"), evaluations=[], anchors={}).kind == "generator starved"
    assert outcome_of(load("not-begun"), evaluations=[], anchors={}).kind == "not converged"
    assert outcome_of(load("healthy"), evaluations=[], anchors={}).kind == "healthy"


def test_families_that_name_no_objective_are_not_judged_by_certainty():
    case = load("overpowering")
    assert outcome_of(case, objective=None).kind == "not converged"


def test_an_empty_trace_is_no_error():
    assert diagnose([], []).kind == "not converged"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_thinner_trace_has_the_same_diagnosis(name):
    case = load(name)
    assert outcome_of(case, trace=thin(case["trace"], 16)).kind == EXPECTED[name]


def test_healthy_runs_score_better_than_all_others():
    scores = {}
    for name, kind in EXPECTED.items():
        case = load(name)
        scores[name] = stability_score(case["evaluations"], diverged=kind == "diverged")
    healthy = [score for name, score in scores.items() if EXPECTED[name] == "healthy"]
    others = [score for name, score in scores.items() if EXPECTED[name] != "healthy"]
    assert max(healthy) < 0.5 * min(others)
    assert scores["diverged"] == scores["exploded"] == WORST_SCORE
