import math

import pytest
from scipy import stats

from gen_dist.tracking.challenge import SIGNIFICANCE, Decision, Judgement, challenge, protocol_difference


def judged(*distances: float, protocol: str = '{"split": "test", "num_samples": 1000}') -> Judgement:
    return Judgement(protocol=protocol, frechet_distances=distances)


def test_the_first_version_becomes_champion() -> None:
    assert challenge(judged(3.0), None).alias == "champion"


@pytest.mark.parametrize("distance", [math.nan, math.inf])
def test_a_distance_that_is_no_number_never_wins(distance: float) -> None:
    for champion in (None, judged(5.0, 5.1)):
        decision = challenge(judged(1.0, distance), champion)
        assert decision.alias == "challenger"
        assert "not finite" in decision.reason
    assert challenge(judged(1.0, 1.1), judged(5.0, distance)).alias == "champion"


def test_the_decision_is_students_test() -> None:
    """Compared with scipy's own two-sample test on the same figures, on both sides of the 5 % line."""
    champion = (3.0, 3.4, 3.2)
    seen = set()
    for shift in (0.05, 0.2, 0.3, 0.35, 0.4, 0.6):
        newcomer = tuple(value - shift for value in (3.1, 3.3, 3.2))
        test = stats.ttest_ind(newcomer, champion, alternative="less")
        decision = challenge(judged(*newcomer), judged(*champion))
        assert decision.alias == ("champion" if test.pvalue < SIGNIFICANCE else "challenger")
        seen.add(decision.alias)
    assert seen == {"champion", "challenger"}


def test_one_seed_borrows_the_spread_of_the_other_side() -> None:
    assert challenge(judged(1.0), judged(3.0, 3.1, 3.2)).alias == "champion"
    assert challenge(judged(2.95), judged(3.0, 3.1, 3.2)).alias == "challenger"
    assert challenge(judged(1.0, 1.1), judged(3.0)).alias == "champion"


def test_one_seed_each_tells_nothing() -> None:
    decision = challenge(judged(1.0), judged(3.0))
    assert decision.alias == "challenger"
    assert "train more seeds, or promote it by hand" in decision.reason


def test_a_worse_or_equal_newcomer_is_no_better() -> None:
    assert challenge(judged(3.0, 3.0), judged(3.0, 3.0)).reason.startswith("no better")
    assert challenge(judged(4.0, 4.0), judged(3.0, 3.0)).alias == "challenger"


def test_without_any_noise_the_smallest_gain_counts() -> None:
    assert challenge(judged(2.999, 2.999), judged(3.0, 3.0)).alias == "champion"


def test_another_protocol_is_named_field_by_field() -> None:
    other = judged(9.0, 9.0, protocol='{"split": "validation", "num_samples": 1000}')
    assert challenge(judged(1.0, 1.0), other) == Decision(
        alias="challenger",
        reason="judged under another protocol than the champion: split is 'test' and was 'validation'",
    )
    assert protocol_difference("plain", "text") == "'plain' is not 'text'"
    assert protocol_difference('{"a": 1}', '{"b": 2}') == "a is 1 and was None, b is None and was 2"


def test_a_judgement_needs_a_figure() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        Judgement(protocol="p", frechet_distances=())
