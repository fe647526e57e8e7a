"""All flows: inverses, log-determinants, densities that integrate to 1, and the bound on 8-bit images."""

import math

import pytest
import torch
from flow_cases import (
    CASES,
    DOUBLE,
    WITH_SHAPES,
    WITH_SMALL_SHAPES,
    Shape,
    fresh_flow,
    random_images,
    rough_flow,
)
from torch import Tensor

from gen_dist.learner import Context, Loss
from gen_dist.models.flow.flow import Flow
from gen_dist.types import ImageBatch, Moment


def smallest_rough_flow(name: str) -> tuple[Flow, Shape]:
    """In float32: float64 convolutions are slow, and integrals over 2 to 4 dimensions do not need them."""
    shape = CASES[name].small_shapes[0]
    return rough_flow(name, shape, std=CASES[name].rough_std).float(), shape


@pytest.mark.parametrize(("name", "shape"), WITH_SHAPES, ids=str)
def test_the_inverse_inverts(name: str, shape: Shape) -> None:
    flow = rough_flow(name, shape)
    values = torch.randn(4, *shape, dtype=DOUBLE)
    with torch.no_grad():
        latents, _ = flow.transform(values)
        assert latents.shape == (4, math.prod(shape))
        assert not torch.allclose(latents.sort(1).values, values.flatten(1).sort(1).values)  # more than a permutation
        # Rounding grows with the condition of up to 20 layers.
        torch.testing.assert_close(flow.inverse(latents), values, rtol=0.0, atol=1e-8)


@pytest.mark.parametrize(("name", "shape"), WITH_SMALL_SHAPES, ids=str)
def test_the_log_determinant_is_autodiff_s(name: str, shape: Shape) -> None:
    flow = rough_flow(name, shape)
    values = torch.randn(1, *shape, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.transform(x)[0], values)
    assert isinstance(jacobian, Tensor)
    size = math.prod(shape)
    expected = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
    torch.testing.assert_close(flow.transform(values)[1][0], expected)


@pytest.mark.parametrize("name", CASES)
def test_the_density_integrates_to_one(name: str) -> None:
    """By importance sampling: the mean of p(x) / q(x) over draws from a wide Gaussian q is the integral of p."""
    flow, shape = smallest_rough_flow(name)
    with torch.no_grad():
        drawn = flow.inverse(flow.draw_latents(20_000)).flatten(1)
        covariance = 2.0 * torch.cov(drawn.T)
        proposal = torch.distributions.MultivariateNormal(drawn.mean(0), covariance)
        points = proposal.sample((400_000,))
        latents, log_determinant = flow.transform(points.reshape(-1, *shape))
        log_density = flow.latent_log_density(latents) + log_determinant
        ratio = (log_density - proposal.log_prob(points)).exp()
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert error < 4e-3  # so the figure says something
    assert abs(float(ratio.mean()) - 1.0) < 4.0 * error  # four standard errors


@pytest.mark.parametrize("name", CASES)
def test_the_density_of_samples_is_the_density(name: str) -> None:
    """Draws and density belong together: E[f] over draws equals the integral of f p, here of a smooth f."""
    flow, shape = smallest_rough_flow(name)
    with torch.no_grad():
        drawn = flow.inverse(flow.draw_latents(200_000)).flatten(1)
        proposal = torch.distributions.MultivariateNormal(drawn.mean(0), 2.0 * torch.cov(drawn.T))
        points = proposal.sample((200_000,))
        latents, log_determinant = flow.transform(points.reshape(-1, *shape))
        log_density = flow.latent_log_density(latents) + log_determinant
        weights = (log_density - proposal.log_prob(points)).exp()
    for function in (torch.sigmoid, torch.sin):
        first = function(drawn - drawn.mean(0)).prod(1)
        second = function(points - drawn.mean(0)).prod(1) * weights
        error = math.sqrt((float(first.var()) + float(second.var())) / 200_000)
        assert abs(float(first.mean() - second.mean())) < 4.0 * error  # four standard errors


@pytest.mark.parametrize("name", CASES)
def test_values_and_their_slope(name: str) -> None:
    shape = CASES[name].small_shapes[1]
    flow = rough_flow(name, shape)
    values = torch.linspace(0.0, 256.0, 3 * math.prod(shape), dtype=DOUBLE).reshape(3, *shape).requires_grad_()
    inputs, log_slope = flow.to_inputs(values)
    torch.testing.assert_close(flow.from_inputs(inputs), values)
    (slope,) = torch.autograd.grad(inputs.sum(), values)
    torch.testing.assert_close(log_slope, slope.log().flatten(1).sum(1))


@pytest.mark.parametrize("name", CASES)
def test_probabilities_of_8_bit_images_lie_above_their_bound_and_sum_to_the_mass_in_range(name: str) -> None:
    """Bins have volume 1 in the scale of `log_density`, so their masses add up to how often latents decode in range."""
    flow, shape = smallest_rough_flow(name)
    num, inside = 60_000, 8
    images = random_images(num, shape)
    with torch.no_grad():
        log_densities = torch.stack([flow.log_density(flow.dequantise(images)) for _ in range(inside)])
        values = flow.from_inputs(flow.inverse(flow.draw_latents(100_000))).flatten(1)
    log_probability = log_densities.logsumexp(0) - math.log(inside)
    assert (log_densities.mean(0) <= log_probability + 1e-5).all()  # rounding of float32
    assert (log_probability - log_densities.mean(0)).max() > 2e-5  # and it is a bound, not the same
    masses = 256.0 ** math.prod(shape) * log_probability.exp()
    in_range = ((values >= 0.0) & (values <= 256.0)).all(1).float()
    assert 0.01 < in_range.mean() < 0.99
    error = math.sqrt(float(masses.var()) / num + float(in_range.var()) / len(in_range))
    assert error < 0.08 * float(in_range.mean())
    assert abs(float(masses.mean() - in_range.mean())) < 4.0 * error  # four standard errors


@pytest.mark.parametrize("name", CASES)
def test_scores_are_the_density_of_dequantised_images(name: str) -> None:
    shape = CASES[name].small_shapes[1]
    flow = rough_flow(name, shape)
    images = random_images(1, shape)
    scores = flow.log_probability(images.expand(2000, -1, -1, -1))
    assert scores.std() > 0.0
    values = images + torch.rand(2000, *shape, dtype=DOUBLE)
    with torch.no_grad():
        expected = flow.log_density(values)
    error = math.sqrt(2.0) * float(expected.std()) / math.sqrt(2000)
    assert abs(float(scores.mean() - expected.mean())) < 4.0 * error  # four standard errors


@pytest.mark.parametrize("name", CASES)
def test_decoding_inverts_encoding(name: str) -> None:
    flow = rough_flow(name, (3, 8, 8))
    images = random_images(5, (3, 8, 8))
    assert torch.equal(flow.decode(flow.encode(images)), images)


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_number_is_no_black_image(name: str) -> None:
    flow = rough_flow(name, (1, 8, 8))
    latents = flow.draw_latents(3)
    latents[1] = math.nan
    with pytest.raises(ValueError, match="overflowed for 1 of 3 images"):
        flow.decode(latents)


@pytest.mark.parametrize("name", CASES)
def test_temperature_shrinks_what_samples_start_from(name: str) -> None:
    flow = rough_flow(name, (1, 8, 8))
    torch.manual_seed(1)
    latents = flow.draw_latents(7)
    torch.manual_seed(1)
    assert torch.equal(flow.sample(7, temperature=0.5), flow.decode(0.5 * latents))
    cold = flow.sample(2, temperature=0.0)
    assert torch.equal(cold[0], cold[1])


@pytest.mark.parametrize("name", [name for name in CASES if name != "realnvp batch"])
def test_prepare_standardises(name: str) -> None:
    """Images of the same distribution as in `prepare`, but others, and other noise."""
    shape = (1, 8, 8)
    flow = fresh_flow(name, shape).requires_grad_(False)
    before = flow.encode(random_images(500, shape) // 2)
    flow.prepare(ImageBatch(images=random_images(500, shape) // 2))
    latents = flow.encode(random_images(500, shape) // 2)
    # Couplings are close to the identity but not there; the mean of 500 images is off by 0.045.
    assert latents.mean(0).square().mean() < 0.01 < before.mean(0).square().mean()
    assert abs(float(latents.var(0).mean()) - 1.0) < 0.1 < abs(float(before.var(0).mean()) - 1.0)


@pytest.mark.parametrize("name", CASES)
def test_the_phase_moves_every_weight(name: str) -> None:
    shape = (1, 8, 8)
    flow = fresh_flow(name, shape)
    batch = ImageBatch(images=random_images(16, shape))
    flow.prepare(batch)
    (phase,) = flow.phases
    signal = phase.signal(batch, Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    assert 6.0 < float(signal.value.detach()) < 9.5  # bits per dimension of noise, at a fresh flow
    parameters = flow.active(phase.player, Moment())
    assert {id(p) for p in parameters} == {id(p) for p in flow.parameters()}
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 1.0)
    assert all(p.grad is not None and p.grad.abs().sum() > 0.0 for p in parameters)
