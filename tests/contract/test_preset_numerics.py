"""Fused optimizers, memory layouts and reduced precision train the same models."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args
from unittest import mock

import pytest
import torch
from contract.small_presets import FULL_PRECISION, NAMES, advance, everything, start, weights
from torch import Tensor, nn

from gen_dist.data.storage import open_storage
from gen_dist.losses.adversarial import Objective
from gen_dist.losses.penalties import PenaltyKind, slope_penalty
from gen_dist.models.gan import game
from gen_dist.nn.normalization import Normalization
from gen_dist.presets import preset
from gen_dist.training.checkpoint import capture, read_checkpoint, restore, write_checkpoint

CONVOLUTIONAL = ("dcgan-8", "dcgan-32", "wgan-gp-28", "vae-28", "pixelcnn-28", "realnvp-28", "glow-28", "convnet-28")


def largest_difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    assert first.keys() == second.keys()
    return max(float((second[name] - tensor).abs().max()) for name, tensor in first.items())


def strides(learner: nn.Module) -> set[str]:
    """Layouts of the kernels for which the two differ."""
    kernels = [p for p in learner.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    return {"last" if p.is_contiguous(memory_format=torch.channels_last) else "first" for p in kernels}


@pytest.mark.parametrize("name", NAMES)
def test_fused_equals_unfused(name: str) -> None:
    fused, plain = (advance(start(name, double=True, fused=fused), 5) for fused in (True, False))
    # Float64: the two round differently in the last place, and Adam divides by small moments.
    assert largest_difference(weights(fused), weights(plain)) < 1e-9


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_fused_equals_unfused_in_channels_last(name: str) -> None:
    fused, plain = (advance(start(name, double=True, fused=fused, channels_last=True), 5) for fused in (True, False))
    assert strides(fused.state.learner) == strides(plain.state.learner) == {"last"}
    assert largest_difference(weights(fused), weights(plain)) < 1e-9
    assert largest_difference(everything(fused), everything(plain)) < 1e-9


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_channels_last_trains_what_contiguous_trains(name: str) -> None:
    last, first = (advance(start(name, double=True, channels_last=choice), 3) for choice in (True, False))
    assert (strides(last.state.learner), strides(first.state.learner)) == ({"last"}, {"first"})
    # Float64: kernels of another layout add in another order, amplified by Adam.
    assert largest_difference(weights(last), weights(first)) < 1e-8


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_resumed_equals_uninterrupted_in_channels_last(tmp_path: Path, name: str, fused: bool) -> None:
    uninterrupted = advance(start(name, channels_last=True, fused=fused), 4)
    storage = open_storage(tmp_path)
    killed = advance(start(name, channels_last=True, fused=fused), 2)
    key = write_checkpoint(storage, capture(killed, config="{}", data_digest="d", evaluations=[]))
    resumed = start(name, channels_last=True, fused=fused)
    restore(resumed, read_checkpoint(storage, key))
    advance(resumed, 2)
    assert strides(resumed.state.learner) == {"last"}
    expected, found = everything(uninterrupted), everything(resumed)
    assert expected.keys() == found.keys()
    for entry, tensor in expected.items():
        assert torch.equal(found[entry], tensor), entry


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FULL_PRECISION])
def test_bfloat16_is_used_stays_finite_and_loses_little(name: str) -> None:
    reduced, full = (start(name, precision=precision) for precision in ("bfloat16", "float32"))
    row, expected = reduced.advance(), full.advance()
    assert any(row[key] != value for key, value in expected.items() if key.endswith("/gradient_norm")), "not used"
    for key, value in expected.items():
        if key.endswith("/loss"):
            # bfloat16 keeps 8 bits: each product is off by up to 0.4 %, which mostly averages out over a sum; over ten
            # layers of two channels it averages less.
            assert abs(row[key] - value) <= 0.04 * max(1.0, abs(value)), key
    advance(reduced, 5)
    tensors = everything(reduced)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert all(tensor.dtype != torch.bfloat16 for tensor in tensors.values())  # autocast is for activations only


@pytest.mark.parametrize("name", FULL_PRECISION)
def test_what_leaves_autocast_is_computed_in_float32_under_bfloat16(name: str) -> None:
    reduced, full = (advance(start(name, precision=precision)) for precision in ("bfloat16", "float32"))
    expected, found = everything(full), everything(reduced)
    assert all(torch.equal(found[entry], tensor) for entry, tensor in expected.items())


@pytest.mark.parametrize("name", ["wgan-gp-8", "wgan-gp-28"])
def test_the_gradient_penalty_stays_in_float32_under_bfloat16(name: str) -> None:
    inside: list[torch.dtype] = []
    outside: list[torch.dtype] = []

    def spy(kind: PenaltyKind, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        def watched(images: Tensor) -> Tensor:
            scores = score(images)
            inside.extend((images.dtype, scores.dtype))
            return scores

        penalty = slope_penalty(kind, watched, real, fake)
        inside.extend((real.dtype, fake.dtype, penalty.dtype))
        return penalty

    training = start(name, precision="bfloat16")
    training.state.learner.critic.register_forward_hook(lambda _m, _i, scores: outside.append(scores.dtype))
    with mock.patch.object(game, "slope_penalty", spy):
        training.advance()
    updates = preset(name).model.game.critic_updates
    assert inside == [torch.float32] * 5 * updates
    # Each critic step scores real and generated images in bfloat16 and the penalty's in float32.
    assert outside == [torch.bfloat16, torch.bfloat16, torch.float32] * updates + [torch.bfloat16]


@pytest.mark.parametrize("normalization", get_args(Normalization))
@pytest.mark.parametrize("objective", get_args(Objective))
def test_every_objective_trains_with_every_normalisation(objective: str, normalization: str) -> None:
    critic = "none" if (objective, normalization) == ("wasserstein-gp", "batch") else normalization  # no batch there
    training = start(
        "dcgan-8",
        model={
            "game.objective": objective,
            "generator_normalization": normalization,
            "critic_normalization": critic,
            "game.critic_updates": 2,
        },
    )
    before = weights(training)
    advance(training)
    now = weights(training)
    assert all(tensor.isfinite().all() for tensor in everything(training).values())
    still = {name for name, tensor in before.items() if torch.equal(tensor, now[name])}
    # While every score lies inside the hinge's margin, real and generated images pull the last bias equally.
    assert still <= ({"critic.6.bias"} if objective == "hinge" and normalization == "spectral" else set())
    assert training.state.updates == {"critic": 6, "generator": 3}
    assert ("critic/penalty" in training.history[-1]) == (objective == "wasserstein-gp")
    if objective == "wasserstein-clip":
        assert all(p.abs().max() <= 0.01 for p in training.state.learner.critic.parameters())
