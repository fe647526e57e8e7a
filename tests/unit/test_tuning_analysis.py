import itertools
import math
import random
import statistics

import pytest

from gen_dist.tuning.records import Spent, StudyRecord, TrialRecord
from gen_dist.tuning.report.analysis import (
    MIN_TRIALS,
    best_so_far,
    difference_between_groups,
    expected_best,
    failure_boundary,
    importance,
)
from gen_dist.tuning.report.view import StudyView, number
from gen_dist.tuning.score import WORST_SCORE
from gen_dist.tuning.space import sample
from gen_dist.tuning.spaces import STABILITY

STUDY = StudyRecord(
    name="s",
    created="now",
    space=STABILITY,
    preset="p",
    base_config="{}",
    data_uri="d",
    data_digest="x",
    searcher="random",
    scheduler="none",
    num_trials=1,
    images_per_trial=1,
    seed=0,
)


def view_with(score_of, num, seed=0):
    rng = random.Random(seed)
    trials = []
    for n in range(num):
        values = sample(STABILITY, rng)
        score = score_of(values, rng)
        trials.append(
            TrialRecord(
                id=f"t{n}", number=n, values=values, config="{}", state="finished", score=score,
                spent=Spent(images=100),
            )
        )  # fmt: skip
    return StudyView(STUDY, tuple(trials))


def test_expected_best_equals_the_mean_over_all_ways_to_draw():
    scores = [5.0, 1.0, 3.0, 3.0]
    for num, point in enumerate(expected_best(scores, 3), 1):
        bests = sorted(min(draw) for draw in itertools.product(scores, repeat=num))
        assert point.num == num
        assert point.mean == pytest.approx(statistics.fmean(bests))
        # The smallest value that at least a tenth (nine tenths) of all draws do not exceed.
        assert point.low == bests[math.ceil(0.1 * len(bests)) - 1]
        assert point.high == bests[math.ceil(0.9 * len(bests)) - 1]


def test_expected_best_of_one_trial_is_that_trial():
    (point,) = expected_best([2.0])
    assert (point.mean, point.low, point.high) == (2.0, 2.0, 2.0)


def test_best_so_far_counts_the_images_of_all_trials_and_starts_at_the_first_distance():
    scores = iter([WORST_SCORE, 4.0, 6.0, 2.0])
    view = view_with(lambda values, rng: next(scores), 4)
    assert best_so_far(view) == ((200.0, 4.0), (300.0, 4.0), (400.0, 2.0))


def by_learning_rate(values, rng):
    return 10 ** abs(math.log10(values["critic_learning_rate"]) + 3) * math.exp(0.1 * rng.gauss(0, 1))


def test_the_setting_that_decides_is_found_and_lies_beyond_chance():
    result = importance(view_with(by_learning_rate, 60), shuffles=5)
    assert result.bars[0].name == "critic learning rate"
    assert result.bars[0].share > 0.6  # all of the signal, less what a forest of 60 trials attributes to noise
    assert [bar.name for bar in result.bars if bar.share > bar.chance] == ["critic learning rate"]


def test_noise_shows_nothing_beyond_chance():
    result = importance(view_with(lambda values, rng: math.exp(rng.gauss(0, 1)), 40), shuffles=19)
    assert not [bar for bar in result.bars if bar.share > bar.chance]


def by_penalty(values, rng):
    return (
        10 ** abs(math.log10(values["penalty_weight"]))
        if "penalty_weight" in values
        else 10 * math.exp(0.1 * rng.gauss(0, 1))
    )


def test_a_conditional_setting_is_judged_where_it_exists():
    bars = {bar.name: bar for bar in importance(view_with(by_penalty, 200), shuffles=2).bars}
    bar = bars["penalty weight (wasserstein-gp only)"]
    assert bar.share > max(0.5, bar.chance)


def test_too_few_trials_are_said_to_be_too_few():
    result = importance(view_with(by_learning_rate, MIN_TRIALS - 1))
    assert result.bars == ()
    assert f"{MIN_TRIALS - 1} trials are too few" in result.note


def test_equal_distances_have_no_importance():
    assert importance(view_with(lambda values, rng: 1.0, 30)).bars == ()


def test_groups_that_differ_in_rank_are_told_from_groups_that_do_not():
    rng = random.Random(0)
    same = [[rng.random() for _ in range(10)] for _ in range(3)]
    apart = [[rng.random() + shift for _ in range(10)] for shift in (0, 0, 2)]
    assert difference_between_groups(same) > 0.05
    assert difference_between_groups(apart) < 0.001
    assert difference_between_groups([[1.0, 2.0], [3.0, 4.0]]) is None
    assert difference_between_groups([[1.0] * 4, [1.0] * 4]) is None


def test_the_boundary_of_failure_lies_between_good_and_bad():
    values = [10 ** (-5 + 3 * n / 29) for n in range(30)]
    boundary = failure_boundary(values, [value > 1e-3 for value in values])
    assert boundary.above == (10, 10)
    assert boundary.below == (0, 20)
    assert max(v for v in values if v <= 1e-3) < boundary.threshold < min(v for v in values if v > 1e-3)
    assert boundary.probability < 1e-4


def test_chance_failures_have_no_clear_boundary():
    rng = random.Random(1)
    clear = 0
    for _ in range(200):
        boundary = failure_boundary([rng.random() for _ in range(30)], [rng.random() < 0.4 for _ in range(30)])
        clear += boundary is not None and boundary.probability < 0.01
    # The correction for the number of cuts keeps false alarms at or below 1 in 100; 2 of 200 are expected at the most.
    assert clear <= 4


def test_failure_boundary_needs_trials_on_both_sides():
    assert failure_boundary([1.0, 2.0, 3.0], [True, False, False]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.884, "1.88"), (12.34, "12.3"), (1234.5, "1,234"), (2e-5, "2.0e-05"), (math.inf, "none")],
)
def test_numbers_as_people_read_them(value, text):
    assert number(value) == text
