"""Likelihoods and divergences against closed forms, sums, quadrature and Monte Carlo."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from gen_dist.losses.divergence import kl_from_standard_normal
from gen_dist.losses.likelihood import (
    bernoulli_log_probability,
    binarise,
    bits_per_dimension,
    categorical_log_probability,
    discretised_logistic_log_probability,
    gaussian_log_density,
    sample_logistic,
    standard_normal_log_density,
)
from gen_dist.types import from_signed, to_signed

DOUBLE = torch.float64
ALL_VALUES = torch.arange(256, dtype=torch.uint8)


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


def test_binarise_thresholds_at_128() -> None:
    values = torch.tensor([0, 127, 128, 255], dtype=torch.uint8)
    assert binarise(values, DOUBLE).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_a_uniform_image_of_256_values_costs_8_bits_per_dimension() -> None:
    nats = double(192 * math.log(256.0))
    torch.testing.assert_close(bits_per_dimension(nats, 192), double(8.0))


def test_bernoulli_by_hand() -> None:
    # sigmoid(log 3) = 3/4
    logits = double(math.log(3.0), math.log(3.0), 0.0)
    found = bernoulli_log_probability(logits, double(1.0, 0.0, 1.0))
    torch.testing.assert_close(found, double(0.75, 0.25, 0.5).log())


def test_categorical_by_hand() -> None:
    logits = double(0.1, 0.2, 0.7).log().reshape(1, 3, 1, 1, 1)
    values = torch.tensor([2], dtype=torch.uint8).reshape(1, 1, 1, 1)
    torch.testing.assert_close(categorical_log_probability(logits, values), double(0.7).log().reshape(1, 1, 1, 1))


def test_gaussian_densities_are_those_of_torch() -> None:
    mean, log_scale, values = torch.randn(3, 20, dtype=DOUBLE)
    expected = Normal(mean, log_scale.exp()).log_prob(values)
    torch.testing.assert_close(gaussian_log_density(mean, log_scale, values), expected)
    standard = gaussian_log_density(torch.zeros_like(values), torch.zeros_like(values), values)
    torch.testing.assert_close(standard_normal_log_density(values), standard)


@pytest.mark.parametrize("mean", [-1.7, -1.0, -0.3, 0.004, 1.0, 4.0])
@pytest.mark.parametrize("log_scale", [-30.0, -7.0, -5.0, -1.0, 2.0, 30.0])
def test_discretised_logistic_sums_to_one(mean: float, log_scale: float) -> None:
    values = to_signed(ALL_VALUES, DOUBLE)
    log_probability = discretised_logistic_log_probability(
        torch.full_like(values, mean), torch.full_like(values, log_scale), values
    )
    # The sum of 256 differences of one distribution function telescopes to 1; what is left is rounding.
    torch.testing.assert_close(log_probability.exp().sum(), torch.ones((), dtype=DOUBLE), rtol=0.0, atol=1e-12)


def test_discretised_logistic_is_the_logistic_integrated_over_a_bin() -> None:
    """Against quadrature of the density, at a mean and scale where that is easy."""
    mean, scale, value = 0.1, 0.05, 150
    centre = value / 127.5 - 1.0
    grid = torch.linspace(centre - 1 / 255, centre + 1 / 255, 2001, dtype=DOUBLE)
    standardised = (grid - mean) / scale
    density = torch.exp(-standardised) / (scale * (1.0 + torch.exp(-standardised)).square())
    expected = torch.trapezoid(density, grid)
    found = discretised_logistic_log_probability(double(mean), double(scale).log(), double(centre))
    # The trapezoid rule on 2001 points of a smooth function is good to about 1e-9 here.
    torch.testing.assert_close(found[0].exp(), expected, rtol=1e-7, atol=0.0)


def test_discretised_logistic_is_finite_far_out_in_float32() -> None:
    """Where a difference of two distribution functions is 0 in float32, the logarithm and its gradient still hold."""
    mean = torch.tensor([3.0, -3.0, 0.9, 0.0], requires_grad=True)
    log_scale = torch.tensor([-6.5, -20.0, -6.0, 50.0], requires_grad=True)
    values = torch.tensor([0.0, 0.5, -0.9, 0.2])
    log_probability = discretised_logistic_log_probability(mean, log_scale, values)
    log_probability.sum().backward()
    assert log_probability.isfinite().all()
    assert (log_probability[:3] < -500.0).all()
    for parameter in (mean, log_scale):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert mean.grad is not None
    assert (mean.grad[:3].sign() == torch.tensor([-1.0, 1.0, -1.0])).all()  # towards the value


def test_logistic_draws_have_the_probabilities_of_their_bins() -> None:
    num = 200_000
    mean, log_scale = torch.full((num,), 0.2, dtype=DOUBLE), torch.full((num,), -2.0, dtype=DOUBLE)
    counts = torch.bincount(from_signed(sample_logistic(mean, log_scale)).long(), minlength=256).double()
    values = to_signed(ALL_VALUES, DOUBLE)
    expected = num * discretised_logistic_log_probability(mean[:256], log_scale[:256], values).exp()
    often = expected > 5.0
    chi_square = ((counts - expected).square() / expected)[often].sum()
    degrees = int(often.sum())
    assert degrees > 100
    # Mean `degrees`, variance 2 * degrees: five standard deviations.
    assert chi_square < degrees + 5.0 * math.sqrt(2.0 * degrees)


def test_divergence_from_the_standard_normal_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(2, 5, 3, dtype=DOUBLE)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(double(0.0), double(1.0))).sum(-1)
    torch.testing.assert_close(kl_from_standard_normal(mean, log_variance), expected)


def test_divergence_agrees_with_monte_carlo() -> None:
    mean, log_variance = double(0.7, -1.2), double(-0.5, 0.4)
    num = 400_000
    latents = mean + (0.5 * log_variance).exp() * torch.randn(num, 2, dtype=DOUBLE)
    ratio = Normal(mean, (0.5 * log_variance).exp()).log_prob(latents) - standard_normal_log_density(latents)
    ratio = ratio.sum(1)
    error = ratio.std() / math.sqrt(num)
    difference = (ratio.mean() - kl_from_standard_normal(mean, log_variance)).abs()
    assert difference < 4.0 * error  # four standard errors of the mean


def test_divergence_is_zero_only_at_the_standard_normal() -> None:
    zero = torch.zeros(1, 4, dtype=DOUBLE)
    assert kl_from_standard_normal(zero, zero).item() == 0.0
    moved = nn.Parameter(zero.clone())
    (slope,) = torch.autograd.grad(kl_from_standard_normal(moved, zero).sum(), moved)
    assert (slope == 0.0).all()
    assert kl_from_standard_normal(zero, zero + 0.1).item() > 0.0
