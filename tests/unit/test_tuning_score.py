import math

import pytest

from gen_dist.tuning.score import WORST_SCORE, stability_score, swing, tail_of
from gen_dist.tuning.trace import last_part, mean, recent, thin


def evaluations(*distances):
    return [{"samples_seen": float(n), "frechet_distance": d} for n, d in enumerate(distances, 1)]


def test_one_evaluation_is_its_own_score():
    assert stability_score(evaluations(3.0)) == 3.0


def test_the_last_third_counts_and_not_the_best_on_the_way():
    assert stability_score(evaluations(9.0, 0.1, 5.0, 4.0, 4.0, 4.0)) == pytest.approx(4.0)


def test_a_steady_fall_costs_nothing_extra_and_a_swing_does():
    steady = [20.0, 18.0, 16.0, 14.0, 12.0, 10.0, 8.0, 6.0, 4.0]
    swinging = [*steady[:6], 8.0, 2.0, 8.0]
    assert stability_score(evaluations(*steady)) == pytest.approx(6.0)
    # Mean 6; the line through 8, 2, 8 is flat, so the residuals are 2, -4, 2 and their root mean square is 8 ** 0.5.
    assert stability_score(evaluations(*swinging)) == pytest.approx(6.0 + math.sqrt(8.0))


def test_swing_of_a_line_is_zero():
    assert swing([1.0, 3.0, 5.0, 7.0]) == pytest.approx(0.0, abs=1e-12)
    assert swing([1.0, 5.0]) == 0.0


@pytest.mark.parametrize(("count", "tail"), [(0, 0), (1, 1), (2, 1), (3, 1), (4, 2), (9, 3), (15, 5), (60, 5)])
def test_length_of_the_tail(count, tail):
    assert len(tail_of([1.0] * count)) == tail


def test_divergence_is_the_worst_finite_score():
    assert stability_score(evaluations(1.0, 1.0), diverged=True) == WORST_SCORE
    assert stability_score([]) == WORST_SCORE
    assert stability_score(evaluations(1.0, math.nan)) == WORST_SCORE
    assert math.isfinite(WORST_SCORE)
    assert stability_score(evaluations(1e9)) == WORST_SCORE


def test_another_metric_can_be_scored():
    assert stability_score([{"samples_seen": 1.0, "kernel_distance": 0.25}], metric="kernel_distance") == 0.25


def test_a_thinned_trace_keeps_both_ends_and_its_values():
    rows = [{"round": float(n), "samples_seen": float(n), "x": float(n * n)} for n in range(1000)]
    thinned = thin(rows, 100)
    assert len(thinned) == 100
    assert thinned[0] == rows[0]
    assert thinned[-1] == rows[-1]
    assert all(row in rows for row in thinned)
    assert thin(rows[:50], 100) == tuple(rows[:50])


def test_recent_is_the_mean_of_the_last_share():
    rows = [{"a": float(n)} for n in range(8)]
    assert recent(rows, "a", 0.25) == 6.5
    assert recent(rows, "b", 0.25) is None
    assert last_part((1.0, 2.0), 0.1) == (2.0,)
    assert math.isnan(mean([]))
