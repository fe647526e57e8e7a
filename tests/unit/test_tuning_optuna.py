import random

import optuna
import pytest

from gen_dist.tuning.optuna_study import define_by_run, distribution, frozen_trial, warm_start
from gen_dist.tuning.space import Choice, sample
from gen_dist.tuning.spaces import SPACES, STABILITY
from gen_dist.tuning.suggest import suggest

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("name", list(SPACES))
def test_optuna_proposes_valid_draws_of_every_space(name):
    searched = SPACES[name]
    warm = warm_start(searched, [], name="study", seed=0)
    for number in range(40):
        trial = warm.study.ask()
        values = define_by_run(searched)(trial)["values"]
        assert ("penalty_weight" in values) == (values["objective"] == "wasserstein-gp")
        if values["objective"] == "wasserstein-gp":
            assert values["critic_normalization"] != "batch"
        warm.study.tell(trial, float(number))


def test_a_trial_told_from_the_ledger_equals_one_that_was_asked():
    warm = warm_start(STABILITY, [], name="study", seed=1)
    for _ in range(40):
        trial = warm.study.ask()
        values = suggest(STABILITY, trial)
        warm.study.tell(trial, 1.0)
        asked = warm.study.trials[-1]
        told = frozen_trial(STABILITY, values, 1.0)
        assert told.params == asked.params
        assert told.distributions == asked.distributions


def score(values):
    """A made-up landscape with its optimum at hinge, critic learning rate 1e-3."""
    import math

    return (values["objective"] != "hinge") + abs(math.log10(values["critic_learning_rate"]) + 3.0)


def test_a_warm_start_searches_better_than_chance_from_its_first_proposal():
    rng = random.Random(0)
    told = [(values, score(values)) for values in (sample(STABILITY, rng) for _ in range(60))]
    warm = warm_start(STABILITY, told, name="study", seed=0)
    proposed = []
    for _ in range(30):
        trial = warm.study.ask()
        values = suggest(STABILITY, trial)
        warm.study.tell(trial, score(values))
        proposed.append(score(values))
    chance = sum(value for _, value in told) / len(told)
    assert sum(proposed) / len(proposed) < 0.6 * chance


def test_the_same_seed_proposes_the_same():
    def first(seed):
        warm = warm_start(STABILITY, [], name="study", seed=seed)
        return [suggest(STABILITY, warm.study.ask()) for _ in range(5)]

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_a_study_opened_again_by_name_knows_what_was_told():
    rng = random.Random(0)
    told = [(sample(STABILITY, rng), float(n)) for n in range(3)]
    warm = warm_start(STABILITY, told, name="mine", seed=0)
    again = optuna.create_study(
        study_name="mine", storage=warm.storage, load_if_exists=True, direction="minimize", sampler=warm.sampler
    )
    assert [trial.value for trial in again.trials] == [0.0, 1.0, 2.0]


def test_options_without_the_excluded_one_are_a_parameter_of_their_own():
    values = {"objective": "wasserstein-gp", "critic_normalization": "none"}
    trial = frozen_trial(STABILITY, values, 1.0)
    assert trial.params["critic_normalization (group, spectral, none)"] == "none"
    assert distribution(Choice(options=("a", "b"))) == optuna.distributions.CategoricalDistribution(("a", "b"))
