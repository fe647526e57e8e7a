import math

import pytest

from gen_dist.tuning.confirm import confirmation_rows, to_confirm, winner
from gen_dist.tuning.outcome import Outcome
from gen_dist.tuning.records import ConfirmationRecord, TrialRecord


def trial(name, score, *, kind="healthy", config=None, stopped=False, state="finished"):
    return TrialRecord(
        id=name,
        number=int(name[1:]),
        values={},
        config=config or name,
        state=state,
        score=score,
        stopped_early=stopped,
        outcome=Outcome(kind=kind, evidence=(), advice=""),
    )


def run(name, seed, distance=None, *, state="finished"):
    metrics = {} if distance is None else {"frechet_distance": distance}
    return ConfirmationRecord(
        trial_id=name, seed=seed, config=name, state=state, metrics=metrics, anchors={"frechet_distance_real": 0.1}
    )


def chosen(trials, num):
    return [trial.id for trial in to_confirm(trials, num)]


def test_the_best_by_score_are_confirmed():
    assert chosen([trial("t1", 3.0), trial("t2", 1.0), trial("t3", 2.0)], 2) == ["t2", "t3"]


def test_divergent_crashed_and_repeated_configurations_are_not_confirmed():
    trials = [
        trial("t1", 1.0, kind="diverged"),
        trial("t2", 0.5, state="failed"),
        trial("t3", 2.0, config="same"),
        trial("t4", 3.0, config="same"),
        trial("t5", 4.0),
    ]
    assert chosen(trials, 3) == ["t3", "t5"]


def test_a_trial_that_was_stopped_early_comes_after_those_that_were_not():
    assert chosen([trial("t1", 1.0, stopped=True), trial("t2", 2.0)], 2) == ["t2", "t1"]


def test_a_study_may_confirm_nothing():
    assert chosen([trial("t1", 0.5)], 0) == []


def test_a_lucky_run_does_not_win():
    runs = [run("t1", 1, 1.0), run("t1", 2, 5.0), run("t2", 1, 2.6), run("t2", 2, 2.8)]
    best = winner(confirmation_rows(runs, [trial("t1", 1.0), trial("t2", 2.0)]))
    assert best.trial_id == "t2"
    assert best.mean == pytest.approx(2.7)
    assert best.spread == pytest.approx(math.sqrt(0.02))
    assert best.bound == pytest.approx(2.7 + 0.1)
    assert best.search_score == 2.0
    assert best.anchors == {"frechet_distance_real": 0.1}


def test_the_mean_decides_when_the_spread_is_equal():
    runs = [run("t1", 1, 1.0), run("t1", 2, 2.0), run("t2", 1, 2.0), run("t2", 2, 3.0)]
    assert winner(confirmation_rows(runs, [])).trial_id == "t1"


def test_a_configuration_that_failed_once_loses_to_one_that_never_did():
    runs = [run("t1", 1, 0.5), run("t1", 2, state="failed"), run("t2", 1, 3.0), run("t2", 2, 3.1)]
    rows = confirmation_rows(runs, [])
    assert winner(rows).trial_id == "t2"
    assert [row.failed for row in rows] == [0, 1]


def test_a_run_without_a_finite_distance_counts_as_failed():
    (row,) = confirmation_rows([run("t1", 1), run("t1", 2, math.inf)], [])
    assert (row.failed, row.mean, row.spread) == (2, math.inf, None)
    assert winner([row]) is None
    assert winner([]) is None


def test_unfinished_runs_are_not_judged():
    assert confirmation_rows([run("t1", 1, 1.0, state="running")], []) == ()


def test_equal_bounds_go_to_the_smaller_spread():
    # Mean 2 with standard error 1, and mean 3 with none: both bounds are 3.
    runs = [run("t1", 1, 1.0), run("t1", 2, 3.0), run("t2", 1, 3.0), run("t2", 2, 3.0)]
    assert winner(confirmation_rows(runs, [])).trial_id == "t2"
