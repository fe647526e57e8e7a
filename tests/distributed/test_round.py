"""What one step does, and what a step that must not happen leaves untouched."""

from dataclasses import replace

import pytest
import torch
from runs import SETTINGS, everything, start
from toys import OPTIMIZERS, TOYS

from gen_dist.training.masking import masked_step
from gen_dist.training.round import step_phase
from gen_dist.training.training import Diverged, Training

ALONE = replace(SETTINGS, num_micro_batches=1)


def step_once(training: Training, index: int) -> None:
    """The first repeat of one phase of the round that is due."""
    moment = training.moment
    step_phase(
        training.state,
        index,
        lambda repeat, m: training._draw(moment, repeat, m),
        moment,
        0,
        settings=training._round_settings,
        world=training.world,
        meters=training._meters,
    )


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_is_not_finite_changes_nothing(optimizer: str, fused: bool) -> None:
    poisoned = 64 + 16 + 3  # round 2, second critic step; see MadeUpStream
    settings = replace(SETTINGS, images=10**6, rounds_per_report=1, fused=fused)
    broken = start("poisoned", settings=settings, poisoned=poisoned, optimizer=OPTIMIZERS[optimizer])
    sound = start("poisoned", settings=settings, optimizer=OPTIMIZERS[optimizer])
    for training in (broken, sound):
        for _ in range(2):
            training.advance()
    with pytest.raises(Diverged) as caught:
        broken.advance()
    assert (caught.value.round, caught.value.repeat, caught.value.player) == (2, 1, "critic")

    # The last good state: the sound run stopped after the first critic step of round 2.
    step_once(sound, 0)
    expected, found = everything(sound), everything(broken)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masked_step_with_the_flag_down_is_the_plain_step(optimizer: str) -> None:
    first, second = (start("codebook", optimizer=OPTIMIZERS[optimizer]) for _ in range(2))
    for training in (first, second):
        torch.manual_seed(1)
        for parameter in training.state.learner.parameters():
            parameter.grad = torch.randn_like(parameter)
    masked_step(first.state.optimizers["model"], torch.tensor(False))
    second.state.optimizers["model"].step()
    for name, tensor in everything(first).items():
        assert torch.equal(tensor, everything(second)[name]), name


@pytest.mark.parametrize("name", TOYS)
def test_a_phase_moves_only_its_player(name: str) -> None:
    training = start(name, settings=ALONE)
    for index, phase in enumerate(training.state.phases):
        before = {p: [w.clone() for w in player.module.parameters()] for p, player in training.state.players.items()}
        step_once(training, index)
        for player_name, weights in before.items():
            now = list(training.state.players[player_name].module.parameters())
            changed = [not torch.equal(w, n) for w, n in zip(weights, now, strict=True)]
            if name == "wgan-gp" and player_name == "critic":
                assert not changed.pop()  # the last bias cancels in a difference of scores
            assert all(changed) if player_name == phase.player else not any(changed), (phase.name, player_name)


def test_critic_steps_consume_exactly_one_batch_each() -> None:
    training = start("wgan-gp", settings=replace(SETTINGS, images=10**6))
    training.advance()
    assert training.moment.samples_seen == 3 * 3 * SETTINGS.batch_size  # 3 rounds of 3 critic steps
    assert training.state.updates == {"critic": 9, "generator": 2}  # the generator moves in rounds 0 and 2


def test_metrics_are_averaged_over_micro_batches_and_repeats() -> None:
    whole = start("image pool", settings=replace(ALONE, rounds_per_report=1))
    parts = start("image pool", settings=replace(SETTINGS, rounds_per_report=1))
    # No randomness in the generator's loss of round 0: four micro-batches must average to the whole batch.
    assert whole.advance()["generator/loss"] == pytest.approx(parts.advance()["generator/loss"], rel=1e-12)


def test_memory_that_changes_shape_is_refused() -> None:
    training = start("image pool")
    training.state.remember({0: {"pool": torch.zeros(3)}})
    with pytest.raises(ValueError, match=r"'pool' changed from torch\.float32 \(3,\) to torch\.float32 \(4,\)"):
        training.state.remember({0: {"pool": torch.zeros(4)}})


def test_gradient_clipping_bounds_the_step_and_reports_the_unclipped_norm() -> None:
    free = start("codebook", settings=replace(ALONE, rounds_per_report=1), optimizer=OPTIMIZERS["sgd"])
    held = start(
        "codebook", settings=replace(ALONE, rounds_per_report=1, gradient_clip_norm=1e-3), optimizer=OPTIMIZERS["sgd"]
    )
    before = [p.detach().clone() for p in held.state.learner.parameters()]
    norm = free.advance()["model/gradient_norm"]
    assert held.advance()["model/gradient_norm"] == pytest.approx(norm)
    moved = torch.stack(
        [(p.detach() - b).norm() for p, b in zip(held.state.learner.parameters(), before, strict=True)]
    ).norm()
    assert norm > 1e-3
    assert float(moved) == pytest.approx(1e-3 * 1e-2, rel=1e-6)  # clipped norm times the learning rate
