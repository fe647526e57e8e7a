"""Richer posteriors: the flow's Jacobian, the mixture's unbiased gradient; free bits, warm-up and active units."""

import itertools
import math

import pytest
import torch
from latent_cases import CASES, random_step
from torch import Tensor
from torch.distributions import Categorical as Choice
from torch.distributions import Independent, MixtureSameFamily, Normal
from vae_cases import DOUBLE, SQUARE

from gen_dist.models.vae.iaf import FlowPosterior, IAFVAEConfig
from gen_dist.models.vae.latent import BoundTerms
from gen_dist.models.vae.mixture_posterior import GaussianMixture, MixtureVAEConfig
from gen_dist.models.vae.posterior import num_active_units
from gen_dist.models.vae.vae import VAEConfig
from gen_dist.types import Moment


def flow(num: int, num_steps: int) -> FlowPosterior:
    """The posterior of one image."""
    steps = [random_step(num, reverse=index % 2 == 1) for index in range(num_steps)]
    mean, log_variance = torch.randn(1, num, dtype=DOUBLE), torch.randn(1, num, dtype=DOUBLE)
    return FlowPosterior(mean, log_variance, torch.randn(1, 3, dtype=DOUBLE), steps)


@pytest.mark.parametrize("num_steps", [0, 1, 2, 3])
@pytest.mark.parametrize("num", [1, 2, 5])
def test_the_flow_s_log_determinant_is_autodiff_s(num: int, num_steps: int) -> None:
    posterior = flow(num, num_steps)
    start = torch.randn(num, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda z: posterior.transform(z[None, None])[0][0, 0], start)
    _, log_determinant = posterior.transform(start[None, None])
    torch.testing.assert_close(log_determinant.sum(), torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("num", [1, 2, 5])
def test_a_step_is_triangular_and_uses_all_that_it_may(num: int, reverse: bool) -> None:
    step = random_step(num, reverse=reverse)
    start, context = torch.randn(num, dtype=DOUBLE), torch.randn(3, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda z: step(z[None], context[None])[0][0], start)
    allowed = torch.ones(num, num).tril() if not reverse else torch.ones(num, num).triu()
    assert torch.equal(jacobian != 0.0, allowed.bool())
    told = torch.autograd.functional.jacobian(lambda h: step(start[None], h[None])[0][0], context)
    assert (told != 0.0).all(), "every variable hears of the image, the first one too"


def test_two_steps_let_every_latent_depend_on_every_other() -> None:
    model = IAFVAEConfig(hidden=(6,), latent_dim=4, num_steps=2).build(SQUARE).double()
    posterior = model.posterior(torch.zeros(1, *SQUARE.shape, dtype=DOUBLE))
    start = torch.randn(4, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda z: posterior.transform(z[None, None])[0][0, 0], start)
    assert (jacobian != 0.0).all(), "the second step turns the order around"


def test_the_masks_are_their_drawing() -> None:
    step = random_step(3, reverse=False)
    first = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]], dtype=DOUBLE)
    last = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], dtype=DOUBLE)
    assert torch.equal(step.first.mask[:3], first)
    assert torch.equal(step.last.mask[:3, :3], last)
    assert torch.equal(step.last.mask[3:, :3], last)


def test_gates_stay_finite_however_far_they_are_driven() -> None:
    step = random_step(2, reverse=False)
    for bias in (-1000.0, 1000.0):
        with torch.no_grad():
            step.last.bias[2:] = bias
        moved, log_slope = step(torch.randn(4, 2, dtype=DOUBLE), torch.randn(4, 3, dtype=DOUBLE))
        assert moved.isfinite().all()
        assert log_slope.isfinite().all()
        gradients = torch.autograd.grad(moved.sum() + log_slope.sum(), list(step.parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


def mixture(requires_grad: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, means and log-variances of three components in two dimensions."""
    logits = torch.tensor([[0.3, -0.5, 0.9]], dtype=DOUBLE)
    means = torch.tensor([[[-1.5, 0.5], [1.0, 1.0], [0.5, -1.0]]], dtype=DOUBLE)
    log_variances = torch.tensor([[[-1.0, 0.2], [-0.5, -1.5], [0.3, -0.8]]], dtype=DOUBLE)
    return tuple(t.requires_grad_(requires_grad) for t in (logits, means, log_variances))  # type: ignore[return-value]


def test_a_mixture_s_divergence_agrees_with_plain_monte_carlo() -> None:
    logits, means, log_variances = mixture()
    posterior = GaussianMixture(logits.log_softmax(1), means, log_variances)
    reference = MixtureSameFamily(
        Choice(logits=logits[0]), Independent(Normal(means[0], (0.5 * log_variances[0]).exp()), 1)
    )
    plain = reference.sample((400_000,))
    values = reference.log_prob(plain) - Normal(0.0, 1.0).log_prob(plain).sum(1)
    stratified = posterior.divergence(posterior.draw(50_000))
    error = 4.0 * float(values.std()) / math.sqrt(len(values))  # of the plain estimate; the other one's is smaller
    assert abs(float(stratified) - float(values.mean())) < 2.0 * error
    torch.testing.assert_close(posterior.centre[0], plain.mean(0), atol=0.01, rtol=0.0)  # four standard errors


def test_a_mixture_s_gradient_is_that_of_the_expectation_in_its_weights_too() -> None:
    """E|z|^2 + E z_1 has a closed form; a drawn component would pass no gradient to the logits."""
    leaves = mixture(requires_grad=True)
    logits, means, log_variances = leaves
    exact = (logits.softmax(1) * (means.square() + log_variances.exp()).sum(2)).sum()
    exact = exact + (logits.softmax(1) * means[..., 0]).sum()
    draws = GaussianMixture(logits.log_softmax(1), means, log_variances).draw(200_000)
    estimate = draws.expectation(draws.latents.square().sum(2) + draws.latents[..., 0]).sum()
    for expected, found in zip(torch.autograd.grad(exact, leaves), torch.autograd.grad(estimate, leaves), strict=True):
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0.0)  # five standard errors of 200,000 draws


def test_components_start_apart() -> None:
    model = MixtureVAEConfig(hidden=(6,), latent_dim=8, num_components=3).build(SQUARE).double()
    means = model.posterior(torch.zeros(1, *SQUARE.shape, dtype=DOUBLE)).means[0]
    assert all((first - second).norm() > 0.5 for first, second in itertools.combinations(means, 2))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_active_units_are_variables_whose_mean_varies(case) -> None:
    model = case.model()
    images = torch.randint(0, 256, (30, *SQUARE.shape), dtype=torch.uint8)
    posterior = model.posterior(model.targets(images))
    parts = posterior.centre.reshape(30, case.config.latent_dim, -1)
    expected = ((parts.var(0, correction=0) > 0.01).sum(1) > 0).sum()
    assert int(model.active_units(posterior)) == int(expected)


def test_the_activity_threshold_is_the_paper_s() -> None:
    values = torch.tensor([[0.0, 0.0, 1.0], [0.19, 0.21, 1.0]], dtype=DOUBLE)[..., None]  # variances 0.009, 0.011, 0
    assert int(num_active_units(values)) == 1


def weighted(terms: BoundTerms, seen: int = 0, **settings: float) -> float:
    config = VAEConfig(hidden=(), latent_dim=3, **settings)
    model = config.build(SQUARE).double()
    return float(model.weighted_bound(terms, config, Moment(samples_seen=seen)))


def test_free_bits_charge_each_variable_the_larger_of_the_two() -> None:
    divergence = torch.tensor([[0.1, 2.0, 0.9], [0.3, 4.0, 0.1]], dtype=DOUBLE)  # means 0.2, 3.0, 0.5
    terms = BoundTerms(torch.tensor([-5.0, -7.0], dtype=DOUBLE), divergence)
    assert weighted(terms) == pytest.approx(6.0 + 3.7)
    assert weighted(terms, free_bits=0.4) == pytest.approx(6.0 + 0.4 + 3.0 + 0.5)
    assert weighted(terms, free_bits=0.4, beta=2.0) == pytest.approx(6.0 + 2.0 * 3.9)
    whole = BoundTerms(terms.reconstruction, divergence.sum(1, keepdim=True))  # one part for three variables
    assert weighted(whole, free_bits=1.0) == pytest.approx(6.0 + 3.7)
    assert weighted(whole, free_bits=2.0) == pytest.approx(6.0 + 6.0)


def test_the_divergence_s_weight_rises_linearly_and_is_a_function_of_the_moment_alone() -> None:
    config = VAEConfig(beta=2.0, kl_warmup_images=1000)
    weights = [config.divergence_weight(Moment(samples_seen=seen)) for seen in (0, 250, 1000, 5000)]
    assert weights == [0.0, 0.5, 2.0, 2.0]
    assert VAEConfig(beta=2.0).divergence_weight(Moment()) == 2.0
    terms = BoundTerms(torch.tensor([-6.0], dtype=DOUBLE), torch.ones(1, 3, dtype=DOUBLE))
    assert weighted(terms, seen=500, kl_warmup_images=1000) == pytest.approx(6.0 + 1.5)


def test_settings_of_posteriors_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.free_bits is -0\.1"):
        VAEConfig(free_bits=-0.1)
    with pytest.raises(ValueError, match=r"model\.kl_warmup_images is -1"):
        VAEConfig(kl_warmup_images=-1)
    with pytest.raises(ValueError, match=r"model\.num_components is 0"):
        MixtureVAEConfig(num_components=0)
    with pytest.raises(ValueError, match=r"no divergence to weigh"):
        MixtureVAEConfig(objective="importance-weighted", beta=2.0)
    with pytest.raises(ValueError, match=r"model\.num_steps is -1"):
        IAFVAEConfig(num_steps=-1)
