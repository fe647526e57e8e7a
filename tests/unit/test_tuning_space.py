import math
import random

import pytest

from gen_dist.serialization import from_json, to_json
from gen_dist.tuning.space import (
    Choice,
    Condition,
    Dimension,
    IntRange,
    LogUniform,
    Space,
    Uniform,
    mutate,
    sample,
)
from gen_dist.tuning.spaces import LUCIC, QUICK, SPACES, STABILITY, space

DRAWS = 2000


def draws(searched, num=DRAWS):
    rng = random.Random(0)
    return [sample(searched, rng) for _ in range(num)]


def test_a_penalty_weight_exists_only_with_the_penalty_and_a_clip_value_only_with_clipping():
    for values in draws(STABILITY):
        assert ("penalty_weight" in values) == (values["objective"] == "wasserstein-gp")
        assert ("clip_value" in values) == (values["objective"] == "wasserstein-clip")


def test_batch_norm_in_the_critic_is_drawn_often_but_never_with_a_gradient_penalty():
    normalizations = {True: set(), False: set()}
    for values in draws(STABILITY):
        normalizations[values["objective"] == "wasserstein-gp"].add(values["critic_normalization"])
    assert normalizations[True] == {"group", "spectral", "none"}
    assert normalizations[False] == {"batch", "group", "spectral", "none"}


def test_stability_draws_every_objective_and_k_from_one_to_five():
    drawn = draws(STABILITY)
    assert {values["objective"] for values in drawn} == {
        "minimax", "non-saturating", "least-squares", "hinge", "wasserstein-clip", "wasserstein-gp"
    }  # fmt: skip
    assert {values["k"] for values in drawn} == {1, 2, 3, 4, 5}


def test_learning_rates_are_log_uniform_and_independent():
    drawn = draws(STABILITY)
    pairs = [
        (math.log10(values["generator_learning_rate"]), math.log10(values["critic_learning_rate"])) for values in drawn
    ]
    for column in zip(*pairs, strict=True):
        assert min(column) >= -5
        assert max(column) <= -2
        # A third of the logarithmic range each: 667 of 2000, standard deviation 21; 100 is 4.7 of them.
        for low in (-5, -4, -3):
            assert abs(sum(low <= value < low + 1 for value in column) - DRAWS / 3) < 100
    means = [sum(column) / DRAWS for column in zip(*pairs, strict=True)]
    covariance = sum((a - means[0]) * (b - means[1]) for a, b in pairs) / DRAWS
    # Uniform over 3 decades has variance 0.75; the correlation of 2000 independent pairs has deviation 0.022.
    assert abs(covariance / 0.75) < 0.11


def test_lucic_space_has_the_wide_ranges_of_the_paper():
    domains = {dimension.name: dimension.domain for dimension in LUCIC.dimensions}
    assert domains["learning_rate"] == LogUniform(low=1e-5, high=1e-2)
    assert domains["k"] == Choice(options=(1, 5))
    assert domains["penalty_weight"] == LogUniform(low=0.1, high=100.0)
    assert domains["clip_value"] == LogUniform(low=1e-3, high=1.0)
    assert (domains["beta1"].low, round(domains["beta1"].high, 3)) == (0.0, 1.0)
    assert LUCIC.num_trials == 100
    assert LUCIC.dimension("learning_rate").paths == (
        "model.generator_optimizer.learning_rate", "model.critic_optimizer.learning_rate"
    )  # fmt: skip


def test_mutation_changes_only_what_can_change_in_a_running_trial():
    rng = random.Random(1)
    changed = set()
    for _ in range(300):
        values = sample(STABILITY, rng)
        mutated = mutate(STABILITY, values, rng)
        assert mutated.keys() == values.keys()
        changed |= {name for name in values if values[name] != mutated[name]}
        assert 1e-5 <= mutated["critic_learning_rate"] <= 1e-2
        assert mutated["k"] in range(1, 6)
        assert 0.0 <= mutated["beta1"] <= 0.9
    assert changed == {"generator_learning_rate", "critic_learning_rate", "k", "beta1", "beta2", "penalty_weight"}


def test_mutation_mostly_perturbs_a_learning_rate_by_a_quarter():
    rng = random.Random(2)
    values = {**sample(QUICK, rng), "critic_learning_rate": 1e-3}
    ratios = [mutate(QUICK, values, rng)["critic_learning_rate"] / 1e-3 for _ in range(400)]
    perturbed = sum(math.isclose(ratio, 1.25) or math.isclose(ratio, 0.8) for ratio in ratios)
    # Three quarters perturb: 300 of 400, standard deviation 8.7; 40 is 4.6 of them.
    assert abs(perturbed - 300) < 40


def test_sampling_keeps_fixed_values_where_their_dimension_exists():
    rng = random.Random(3)
    for _ in range(50):
        values = sample(STABILITY, rng, fixed={"objective": "hinge", "penalty_weight": 3.0})
        assert values["objective"] == "hinge"
        assert "penalty_weight" not in values


@pytest.mark.parametrize("name", list(SPACES))
def test_a_space_survives_json(name):
    assert from_json(to_json(space(name)), Space) == space(name)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Uniform(low=2.0, high=1.0), "low must be below high"),
        (lambda: LogUniform(low=0.0, high=1.0), "must start above 0"),
        (lambda: IntRange(low=3, high=3), "low must be below high"),
        (lambda: Choice(options=()), "needs at least one"),
        (lambda: Choice(options=(1, 1)), "each may stand there once"),
        (lambda: Dimension(name="a", domain=Choice(options=(1,)), paths=()), "tune nothing"),
        (lambda: space("wide"), "choose from: stability, lucic, quick"),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_two_dimensions_may_not_set_the_same_field():
    a = Dimension(name="a", domain=Choice(options=(1,)), paths=("model.x",))
    b = Dimension(name="b", domain=Choice(options=(2,)), paths=("model.x",))
    with pytest.raises(ValueError, match=r"'a' and 'b' both set model\.x"):
        Space(name="s", summary="", dimensions=(a, b), num_trials=1)


def test_a_condition_may_not_look_ahead():
    late = Dimension(name="a", domain=Choice(options=(1,)), paths=("model.x",))
    early = Dimension(
        name="b", domain=Choice(options=(2,)), paths=("model.y",), when=Condition(path="model.x", among=(1,))
    )
    with pytest.raises(ValueError, match="drawn after it"):
        Space(name="s", summary="", dimensions=(early, late), num_trials=1)
