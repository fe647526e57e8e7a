"""Adversarial learners, in float64: who is moved by what, on which images, and what a constraint really holds."""

import copy
from dataclasses import replace
from typing import get_args

import pytest
import torch
from gan_cases import DOUBLE, GAMES, TINY, batch_of, learner_of, signal_of
from torch import Tensor, nn

from gen_dist.losses.adversarial import Objective, critic_loss, critic_metrics, diversity, generator_loss
from gen_dist.models.gan.game import GameConfig
from gen_dist.nn.normalization import Normalization, constrained, needs_bias, normalization_layer
from gen_dist.types import Moment, to_signed


@pytest.mark.parametrize(("objective", "critic", "generator"), GAMES)
def test_a_phase_moves_its_player_whole_and_nobody_else(
    objective: Objective, critic: Normalization, generator: Normalization
) -> None:
    game = GameConfig(objective=objective)
    config = replace(TINY, game=game, critic_normalization=critic, generator_normalization=generator)
    learner = learner_of(config)
    assert [phase.name for phase in learner.phases] == ["critic", "generator"]
    for name, other in (("critic", learner.generator), ("generator", learner.critic)):
        learner.zero_grad(set_to_none=True)
        parameters = learner.active(name, Moment())
        signal_of(learner, name, batch_of(6)).deposit(parameters, 0.5)
        assert all(parameter.grad is None for parameter in other.parameters())
        for key, parameter in learner.players[name].module.named_parameters():
            assert parameter.grad is not None
            if objective == "hinge" and key == f"{len(learner.critic) - 1}.bias":
                continue  # while all images are inside the margin, the real ones push the last bias up as others down
            # Rounding leaves about 1e-17 where mathematics says zero; a real gradient here is above 1e-6.
            assert parameter.grad.abs().max() > 1e-10, f"{key} of the {name} never moves"


def test_players_share_nothing_and_own_everything() -> None:
    learner = learner_of(TINY)
    owned = [p for player in learner.players.values() for p in player.module.parameters()]
    assert len({id(p) for p in owned}) == len(owned) == len(list(learner.parameters()))
    assert list(learner.players) == ["critic", "generator"]
    assert learner.players["critic"].ema_decay is None
    assert learner.players["generator"].ema_decay == TINY.ema_decay


@pytest.mark.parametrize("updates", [1, 2, 5])
def test_the_critic_moves_k_times(updates: int) -> None:
    learner = learner_of(replace(TINY, game=GameConfig(critic_updates=updates)))
    phases = {phase.name: phase for phase in learner.phases}
    assert phases["critic"].repeats_at(Moment(round=7)) == updates
    assert phases["generator"].repeats_at(Moment(round=7)) == 1


def test_real_and_generated_images_pass_the_critic_apart_and_the_generator_runs_once() -> None:
    """Batch statistics of a mixed batch would tell the critic how many of each there are."""
    learner, batch = learner_of(TINY), batch_of(6)
    seen: list[Tensor] = []
    made: list[Tensor] = []
    learner.critic.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    learner.generator.register_forward_hook(lambda _module, _inputs, output: made.append(output))
    signal_of(learner, "critic", batch)
    real, fake = seen
    assert real.equal(to_signed(batch.images, DOUBLE))
    assert len(made) == 1
    assert fake.equal(made[0])
    assert not made[0].requires_grad, "the critic's phase must not keep the generator's graph"


@pytest.mark.parametrize("objective", get_args(Objective))
def test_signals_are_the_objective_of_the_scores(objective: Objective) -> None:
    """Loss and metrics, put together again from the networks' outputs for the same noise."""
    game = GameConfig(objective=objective)
    config = replace(TINY, game=game, critic_normalization="none", generator_normalization="none")
    learner, batch = learner_of(config), batch_of(6)
    torch.manual_seed(3)
    with torch.no_grad():
        fake = learner.generator(torch.randn(6, 5, dtype=DOUBLE))
        real = to_signed(batch.images, DOUBLE)
        real_scores, fake_scores = learner.critic(real)[:, 0], learner.critic(fake)[:, 0]
    expected = {
        "loss": critic_loss(objective, real_scores, fake_scores),
        **critic_metrics(objective, real_scores, fake_scores),
        "real_diversity": diversity(real),
        "fake_diversity": diversity(fake),
    }
    signal = signal_of(learner, "critic", batch)
    metrics = dict(signal.metrics)
    if objective == "wasserstein-gp":
        expected["penalty"] = metrics["penalty"]  # its own laws are in tests/unit/test_adversarial_losses.py
        expected["loss"] = expected["loss"] + game.penalty_weight * metrics["penalty"]
        assert metrics["penalty"] > 0.0
    assert metrics.keys() == expected.keys()
    assert not any(value.requires_grad for value in metrics.values())
    for name, value in expected.items():
        torch.testing.assert_close(metrics[name], value, rtol=1e-12, atol=0.0)

    signal = signal_of(learner, "generator", batch)
    assert signal.metrics.keys() == {"loss"}
    torch.testing.assert_close(signal.value, generator_loss(objective, fake_scores), rtol=1e-12, atol=1e-15)


def test_the_critics_step_is_plain_gradient_descent_on_its_loss() -> None:
    """Directional derivative of the whole critic signal, penalty included, by central differences."""
    config = replace(TINY, game=GameConfig(objective="wasserstein-gp"), critic_normalization="group")
    learner, batch = learner_of(config), batch_of(4)
    parameters = learner.active("critic", Moment())
    signal_of(learner, "critic", batch).deposit(parameters, 1.0)
    directions = [torch.randn_like(parameter) for parameter in parameters]
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, directions, strict=True) if p.grad is not None)
    step, values = 1e-5, []
    for sign in (1.0, -1.0):
        moved = copy.deepcopy(learner)
        with torch.no_grad():
            for parameter, direction in zip(moved.active("critic", Moment()), directions, strict=True):
                parameter.add_(direction, alpha=sign * step)
        values.append(signal_of(moved, "critic", batch).value.item())
    assert isinstance(slope, Tensor)
    # The step's square, 1e-10, times third derivatives; a leaky kink inside the step could cost a little more.
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope.item(), rel=1e-4)


@pytest.mark.parametrize("normalization", get_args(Normalization))
def test_clipping_is_a_projection_of_the_critic_alone(normalization: Normalization) -> None:
    game = GameConfig(objective="wasserstein-clip", clip_value=0.05)
    config = replace(TINY, game=game, critic_normalization=normalization)
    learner = learner_of(config)
    before = copy.deepcopy(learner)
    learner.settle("generator", {})
    assert all(a.equal(b) for a, b in zip(learner.parameters(), before.parameters(), strict=True))
    learner.settle("critic", {})
    for old, new in zip(before.critic.parameters(), learner.critic.parameters(), strict=True):
        assert new.equal(torch.where(old > 0.05, 0.05, torch.where(old < -0.05, -0.05, old)))
    assert all(a.equal(b) for a, b in zip(learner.generator.parameters(), before.generator.parameters(), strict=True))
    once = copy.deepcopy(learner)
    learner.settle("critic", {})
    assert all(a.equal(b) for a, b in zip(learner.parameters(), once.parameters(), strict=True))


@pytest.mark.parametrize("objective", [o for o in get_args(Objective) if o != "wasserstein-clip"])
def test_no_other_objective_clips(objective: Objective) -> None:
    game = GameConfig(objective=objective, clip_value=1e-6)
    learner = learner_of(replace(TINY, game=game, critic_normalization="none"))
    before = copy.deepcopy(learner)
    learner.settle("critic", {})
    assert all(a.equal(b) for a, b in zip(learner.parameters(), before.parameters(), strict=True))


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d, nn.ConvTranspose2d], ids=lambda kind: kind.__name__)
def test_spectral_norm_divides_by_the_largest_singular_value(kind: type[nn.Module]) -> None:
    layer = nn.Linear(7, 12) if kind is nn.Linear else kind(6, 8, 4)
    assert isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    layer = layer.double()
    outputs = 1 if kind is nn.ConvTranspose2d else 0
    with torch.no_grad():
        layer.weight.select(outputs, 0).mul_(10.0)  # one singular value stands out, so that the iteration converges
    raw = layer.weight.detach().clone()
    largest = torch.linalg.svdvals(raw.transpose(0, outputs).flatten(1))[0]
    constrained("spectral", layer)
    for _ in range(100):
        weight = layer.weight
    # The error falls by the square of the ratio of the two largest singular values (here below 0.5) every time.
    torch.testing.assert_close(weight.detach(), raw / largest, rtol=1e-12, atol=0.0)


def test_spectral_norm_is_kept_in_float32_under_autocast() -> None:
    layer = constrained("spectral", nn.Linear(32, 32))
    assert isinstance(layer, nn.Linear)
    for _ in range(300):
        expected = layer.weight.detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.weight.dtype == torch.float32
        torch.testing.assert_close(layer.weight.detach(), expected)


def test_a_spectrally_normalised_critic_is_one_lipschitz_per_layer() -> None:
    learner = learner_of(replace(TINY, critic_normalization="spectral"))
    for _ in range(500):
        learner.critic(torch.zeros(1, 1, 8, 8, dtype=DOUBLE))
    layers = [layer for layer in learner.critic if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (16, 1), (24, 3), (128, 8), (7, 7)])
def test_groups_have_sixteen_channels_where_that_divides(channels: int, groups: int) -> None:
    layer = normalization_layer("group", channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups
    assert not needs_bias("group")


@pytest.mark.parametrize("kind", ["batch", "group"])
def test_a_normalised_critic_sees_its_batch_only_with_batch_norm(kind: Normalization) -> None:
    """Why the penalty refuses batch norm: with it, one image's score moves when another image does."""
    critic = learner_of(replace(TINY, critic_normalization=kind)).critic.train()
    images = torch.randn(4, 1, 8, 8, dtype=DOUBLE)
    changed = torch.cat([images[:3], torch.randn(1, 1, 8, 8, dtype=DOUBLE)])
    assert (kind == "group") == torch.allclose(critic(images)[:3], critic(changed)[:3], rtol=1e-12)
