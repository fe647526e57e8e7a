import random

import pytest

from gen_dist.config import RunConfig, override
from gen_dist.models.boltzmann.rbm import RBMConfig
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.optimization import Adam, RMSprop
from gen_dist.training.settings import TrainingConfig
from gen_dist.tuning.binding import apply, bind, to_overrides
from gen_dist.tuning.dimension_text import override_dimensions
from gen_dist.tuning.space import Choice, IntRange, LogUniform, Uniform, sample
from gen_dist.tuning.spaces import LUCIC, QUICK, SPACES, STABILITY

CONFIG = RunConfig(model=DCGANConfig(latent_dim=8), training=TrainingConfig(images=1000))


@pytest.mark.parametrize("name", list(SPACES))
def test_every_draw_is_a_valid_configuration_with_those_values(name):
    bound = bind(SPACES[name], CONFIG)
    rng = random.Random(0)
    for _ in range(200):
        values = sample(bound, rng)
        model = apply(bound, values, CONFIG).model
        assert isinstance(model, DCGANConfig)
        assert model.game.objective == values["objective"]
        assert model.game.critic_updates == values["k"]
        assert model.critic_optimizer.betas[0] == values["beta1"]
        assert model.generator_optimizer.betas[0] == values["beta1"]
        assert model.latent_dim == 8


def test_a_shared_learning_rate_moves_both_players_and_an_independent_one_moves_its_own():
    shared = apply(LUCIC, {"learning_rate": 3e-3}, CONFIG).model
    assert shared.generator_optimizer.learning_rate == shared.critic_optimizer.learning_rate == 3e-3
    own = apply(STABILITY, {"critic_learning_rate": 3e-3}, CONFIG).model
    assert (own.generator_optimizer.learning_rate, own.critic_optimizer.learning_rate) == (2e-4, 3e-3)


def test_elements_of_a_tuple_are_completed_from_the_configuration():
    assert to_overrides(STABILITY, {"beta1": 0.25}, CONFIG) == {
        "model.generator_optimizer.betas": (0.25, 0.999),
        "model.critic_optimizer.betas": (0.25, 0.999),
    }
    both = to_overrides(STABILITY, {"beta1": 0.25, "beta2": 0.9}, CONFIG)
    assert both["model.critic_optimizer.betas"] == (0.25, 0.9)


def test_a_preset_without_the_field_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"objective sets model\.game\.objective") as caught:
        bind(STABILITY, RunConfig(model=RBMConfig(), training=TrainingConfig(images=1000)))
    assert "--dimension objective=preset" in str(caught.value)


def test_an_optimizer_without_betas_is_refused_until_they_are_dropped():
    rmsprop = RunConfig(
        model=DCGANConfig(generator_optimizer=RMSprop(), critic_optimizer=RMSprop()),
        training=TrainingConfig(images=1000),
    )
    with pytest.raises(ValueError, match=r"beta1 sets model\.generator_optimizer\.betas\[0\]"):
        bind(QUICK, rmsprop)
    bound = bind(override_dimensions(QUICK, ["beta1=preset"]), rmsprop)
    assert "beta1" not in sample(bound, random.Random(0))


def test_a_value_that_the_preset_refuses_is_found_before_the_study_starts():
    with pytest.raises(ValueError, match="objective=hing does not fit this preset"):
        bind(override_dimensions(STABILITY, ["objective=hinge,hing"]), CONFIG)
    with pytest.raises(ValueError, match=r"beta1=1\.0 does not fit this preset"):
        bind(override_dimensions(STABILITY, ["beta1=0:1"]), CONFIG)


def test_conditions_on_a_fixed_objective_are_settled_by_the_preset():
    clipping = override(CONFIG, {"model.game.objective": "wasserstein-clip"})
    bound = bind(override_dimensions(STABILITY, ["objective=preset"]), clipping)
    names = {dimension.name for dimension in bound.dimensions}
    assert "clip_value" in names
    assert "penalty_weight" not in names
    assert "clip_value" in sample(bound, random.Random(0))


def test_batch_norm_is_gone_when_the_preset_itself_has_a_gradient_penalty():
    penalised = override(CONFIG, {"model.game.objective": "wasserstein-gp", "model.critic_normalization": "none"})
    bound = bind(override_dimensions(STABILITY, ["objective=preset"]), penalised)
    assert bound.dimension("critic_normalization").domain == Choice(options=("group", "spectral", "none"))


def test_a_dimension_that_can_never_exist_is_refused():
    never = override_dimensions(STABILITY, ["objective=hinge"])
    with pytest.raises(ValueError, match="can never be drawn"):
        bind(never, CONFIG)


@pytest.mark.parametrize(
    ("text", "name", "domain"),
    [
        ("critic_learning_rate=1e-4:1e-2:log", "critic_learning_rate", LogUniform(low=1e-4, high=1e-2)),
        ("critic_learning_rate=1e-4:1e-2", "critic_learning_rate", LogUniform(low=1e-4, high=1e-2)),
        ("critic_learning_rate=1e-4:1e-2:linear", "critic_learning_rate", Uniform(low=1e-4, high=1e-2)),
        ("penalty_weight=1:10", "penalty_weight", LogUniform(low=1.0, high=10.0)),
        ("penalty_weight=1,10", "penalty_weight", Choice(options=(1.0, 10.0))),
        ("k=1,2,5", "k", Choice(options=(1, 2, 5))),
        ("k=1:2", "k", IntRange(low=1, high=2)),
        (" objective = hinge , wasserstein-gp ", "objective", Choice(options=("hinge", "wasserstein-gp"))),
        ("model.latent_dim=16,32", "model.latent_dim", Choice(options=(16, 32))),
        ("training.batch_size=32:64", "training.batch_size", IntRange(low=32, high=64)),
        ("training.channels_last=true,false", "training.channels_last", Choice(options=(True, False))),
    ],
)
def test_dimensions_as_typed(text, name, domain):
    dimension = override_dimensions(STABILITY, [text]).dimension(name)
    assert dimension.domain == domain
    assert type(dimension.domain) is type(domain)


@pytest.mark.parametrize("name", ["critic_updates", "model.game.critic_updates"])
def test_a_dimension_is_also_known_by_the_field_that_it_sets(name):
    changed = override_dimensions(STABILITY, [f"{name}=1:3"])
    assert changed.dimension("k").domain == IntRange(low=1, high=3)
    assert len(changed.dimensions) == len(STABILITY.dimensions)


def test_a_field_that_several_dimensions_set_is_no_name():
    with pytest.raises(ValueError, match="has no dimension 'learning_rate'"):
        override_dimensions(STABILITY, ["learning_rate=1e-4:1e-3"])


def test_an_override_keeps_paths_condition_and_exclusions():
    changed = override_dimensions(STABILITY, ["critic_normalization=batch,none", "penalty_weight=5:50"])
    assert changed.dimension("penalty_weight").when == STABILITY.dimension("penalty_weight").when
    rng = random.Random(0)
    drawn = [sample(changed, rng) for _ in range(200)]
    assert {v["critic_normalization"] for v in drawn if v["objective"] == "wasserstein-gp"} == {"none"}


@pytest.mark.parametrize("text", ["k", "k=", "=3", "k=1:2:cubic", "k=one:two", "nothing=1,2", "k=5:1", "k=1,1"])
def test_what_is_not_understood_is_refused_by_name(text):
    with pytest.raises(ValueError, match="--dimension"):
        override_dimensions(STABILITY, [text])


def test_adam_with_betas_from_a_draw_is_an_adam():
    model = apply(STABILITY, {"beta1": 0.0, "beta2": 0.9}, CONFIG).model
    assert model.critic_optimizer == Adam(learning_rate=2e-4, betas=(0.0, 0.9))
