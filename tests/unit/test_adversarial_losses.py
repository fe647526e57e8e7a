"""Objectives, their gradients and their metrics, by closed form on scores made by hand."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from gen_dist.losses.adversarial import Objective, critic_loss, critic_metrics, diversity, generator_loss
from gen_dist.losses.penalties import gradient_penalty, interpolate

DOUBLE = torch.float64
REAL = [2.0, -0.5, 0.25]
FAKE = [-1.5, 0.75]


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def logistic_critic() -> tuple[float, list[float], list[float]]:
    """Eq. 1 of Goodfellow et al., written with D itself instead of softplus; d/ds log D = 1 - D."""
    value = -mean([math.log(sigmoid(s)) for s in REAL]) - mean([math.log(1 - sigmoid(s)) for s in FAKE])
    return value, [-(1 - sigmoid(s)) / 3 for s in REAL], [sigmoid(s) / 2 for s in FAKE]


# (value, gradient by real scores, gradient by fake scores) of what the critic minimises.
CRITIC: dict[Objective, tuple[float, list[float], list[float]]] = {
    "minimax": logistic_critic(),
    "non-saturating": logistic_critic(),
    "least-squares": (
        0.5 * mean([1.0, 2.25, 0.5625]) + 0.5 * mean([2.25, 0.5625]),
        [1.0 / 3, -1.5 / 3, -0.75 / 3],
        [-1.5 / 2, 0.75 / 2],
    ),
    # Margins 1 - s of the real ones: -1 (met), 1.5, 0.75. 1 + s of the fake ones: -0.5 (met), 1.75.
    "hinge": (mean([0.0, 1.5, 0.75]) + mean([0.0, 1.75]), [0.0, -1 / 3, -1 / 3], [0.0, 1 / 2]),
    "wasserstein": (mean(FAKE) - mean(REAL), [-1 / 3] * 3, [1 / 2] * 2),
    "wasserstein-clip": (mean(FAKE) - mean(REAL), [-1 / 3] * 3, [1 / 2] * 2),
    "wasserstein-gp": (mean(FAKE) - mean(REAL), [-1 / 3] * 3, [1 / 2] * 2),
}

# (value, gradient by fake scores) of what the generator minimises.
GENERATOR: dict[Objective, tuple[float, list[float]]] = {
    "minimax": (mean([math.log(1 - sigmoid(s)) for s in FAKE]), [-sigmoid(s) / 2 for s in FAKE]),
    "non-saturating": (-mean([math.log(sigmoid(s)) for s in FAKE]), [-(1 - sigmoid(s)) / 2 for s in FAKE]),
    "least-squares": (0.5 * mean([6.25, 0.0625]), [-2.5 / 2, -0.25 / 2]),
    "hinge": (-mean(FAKE), [-1 / 2] * 2),
    "wasserstein": (-mean(FAKE), [-1 / 2] * 2),
    "wasserstein-clip": (-mean(FAKE), [-1 / 2] * 2),
    "wasserstein-gp": (-mean(FAKE), [-1 / 2] * 2),
}

SHARES = ("real_accuracy", "fake_accuracy")
# Real scores above and fake scores below the threshold: 0; 1/2; the midpoint of the means, 0.10416...
ACCURACY: dict[Objective, tuple[float, float]] = {
    "minimax": (2 / 3, 1 / 2),
    "non-saturating": (2 / 3, 1 / 2),
    "least-squares": (1 / 3, 1 / 2),
    "hinge": (2 / 3, 1 / 2),
    "wasserstein": (2 / 3, 1 / 2),
    "wasserstein-clip": (2 / 3, 1 / 2),
    "wasserstein-gp": (2 / 3, 1 / 2),
}


def leaf(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE, requires_grad=True)


def test_every_objective_is_in_the_tables() -> None:
    assert set(get_args(Objective)) == set(CRITIC) == set(GENERATOR) == set(ACCURACY)


@pytest.mark.parametrize("objective", get_args(Objective))
def test_critic_loss_and_gradient(objective: Objective) -> None:
    real, fake = leaf(REAL), leaf(FAKE)
    loss = critic_loss(objective, real, fake)
    loss.backward()
    value, real_gradient, fake_gradient = CRITIC[objective]
    # A handful of operations in float64: only rounding may differ.
    assert loss.item() == pytest.approx(value, rel=1e-12)
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == pytest.approx(real_gradient, rel=1e-12)
    assert fake.grad.tolist() == pytest.approx(fake_gradient, rel=1e-12)


@pytest.mark.parametrize("objective", get_args(Objective))
def test_generator_loss_and_gradient(objective: Objective) -> None:
    fake = leaf(FAKE)
    loss = generator_loss(objective, fake)
    loss.backward()
    value, gradient = GENERATOR[objective]
    assert loss.item() == pytest.approx(value, rel=1e-12)
    assert fake.grad is not None
    assert fake.grad.tolist() == pytest.approx(gradient, rel=1e-12)


def test_minimax_and_non_saturating_differ_for_the_generator_only() -> None:
    """Same fixed point, but where the critic is sure (s = -20) only the non-saturating gradient is alive."""
    real, fake = leaf([3.0]), leaf([-20.0])
    assert critic_loss("minimax", real, fake).equal(critic_loss("non-saturating", real, fake))
    (saturated,) = torch.autograd.grad(generator_loss("minimax", fake), fake)
    (alive,) = torch.autograd.grad(generator_loss("non-saturating", fake), fake)
    assert -1e-8 < saturated.item() < 0.0
    assert alive.item() == pytest.approx(-1.0, abs=1e-8)


@pytest.mark.parametrize("objective", ["minimax", "non-saturating"])
def test_logistic_losses_stay_finite_for_a_sure_critic(objective: Objective) -> None:
    """log(sigmoid(-200)) overflows when it is written down naively, in float32."""
    real, fake = torch.tensor([-200.0]), torch.tensor([200.0])
    assert critic_loss(objective, real, fake).item() == pytest.approx(400.0)
    assert generator_loss(objective, fake).isfinite()


@pytest.mark.parametrize("objective", get_args(Objective))
def test_critic_metrics(objective: Objective) -> None:
    metrics = critic_metrics(objective, torch.tensor(REAL), torch.tensor(FAKE))
    assert [metrics[name].item() for name in SHARES] == pytest.approx(ACCURACY[objective])
    assert metrics["real_score"].item() == pytest.approx(sum(REAL) / len(REAL))
    assert metrics["fake_score"].item() == pytest.approx(sum(FAKE) / len(FAKE))


def test_wasserstein_accuracy_does_not_depend_on_the_zero_of_the_score() -> None:
    for shift in (-100.0, 0.0, 100.0):
        metrics = critic_metrics("wasserstein-gp", torch.tensor(REAL) + shift, torch.tensor(FAKE) + shift)
        assert [metrics[name].item() for name in SHARES] == pytest.approx([2 / 3, 1 / 2])


def test_diversity_is_the_mean_over_pixels_of_the_deviation_over_the_batch() -> None:
    """Two images of two pixels: the first pixel is -1 and 1 (deviation 1), the second 0.5 twice (deviation 0)."""
    images = torch.tensor([[-1.0, 0.5], [1.0, 0.5]]).view(2, 1, 1, 2)
    assert diversity(images).item() == pytest.approx(0.5)
    assert diversity(images[:1]).item() == 0.0


def test_penalty_of_a_linear_critic_is_the_squared_excess_of_its_norm() -> None:
    """The slope of w.x is w everywhere, so that the penalty is (|w| - 1)^2 and its gradient 2 (|w| - 1) w / |w|."""
    weight = torch.randn(3, 4, 5, dtype=DOUBLE, requires_grad=True)
    real, fake = torch.randn(2, 7, 3, 4, 5, dtype=DOUBLE)
    penalty = gradient_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), real, fake)
    norm = weight.detach().norm()
    # The slope is copied, not computed: exact but for the order of the sum of 60 squares.
    assert penalty.item() == pytest.approx((norm.item() - 1.0) ** 2, rel=1e-14)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, 2 * (norm - 1) * weight.detach() / norm, rtol=1e-12, atol=0.0)


def test_penalty_of_a_flat_critic_is_one_and_its_gradient_is_finite() -> None:
    """A norm has no derivative at zero; a critic that starts at zero must not start with NaN."""
    weight = torch.zeros(3, dtype=DOUBLE, requires_grad=True)
    images = torch.randn(2, 4, 3, 1, 1, dtype=DOUBLE)
    penalty = gradient_penalty(lambda x: x.flatten(1) @ weight, images[0], images[1])
    assert penalty.item() == 1.0
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert gradient.isfinite().all()


def test_penalty_takes_the_norm_of_each_sample_and_not_of_the_batch() -> None:
    """A critic of slope |x|: the penalty averages (|x_i| - 1)^2 over samples (real == fake fixes the point)."""
    images = torch.randn(5, 1, 2, 2, dtype=DOUBLE)
    penalty = gradient_penalty(lambda x: 0.5 * x.square().sum(dim=(1, 2, 3)), images, images.clone())
    expected = (images.flatten(1).norm(dim=1) - 1.0).square().mean()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-12)


def test_one_position_per_sample() -> None:
    """Between black and white the interpolated image is the position itself: one grey, another one per sample."""
    real, fake = torch.ones(64, 3, 4, 4, dtype=DOUBLE), torch.zeros(64, 3, 4, 4, dtype=DOUBLE)
    positions = interpolate(real, fake).flatten(1)
    assert (positions == positions[:, :1]).all()
    assert positions[:, 0].unique().numel() == 64
    assert positions.min() >= 0.0
    assert positions.max() <= 1.0
    # 64 uniform numbers have a mean of 0.5 with a standard error of 0.036: four of them.
    assert positions.mean().item() == pytest.approx(0.5, abs=0.144)


def test_penalty_leaves_autocast() -> None:
    """The slope is computed in float32 though the surroundings are in bfloat16."""
    weight = torch.randn(12, 1)
    images = torch.randn(2, 6, 12, 1, 1)
    seen: list[torch.dtype] = []

    def critic(x: Tensor) -> Tensor:
        scores = x.flatten(1) @ weight
        seen.append(scores.dtype)
        return scores

    with torch.autocast("cpu", torch.bfloat16):
        assert (images[0].flatten(1) @ weight).dtype == torch.bfloat16
        penalty = gradient_penalty(critic, images[0], images[1])
    assert seen == [torch.float32]
    assert penalty.item() == pytest.approx((weight.norm().item() - 1.0) ** 2, rel=1e-5)
