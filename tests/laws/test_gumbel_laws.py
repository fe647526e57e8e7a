"""Gumbel-softmax VAE: the discrete model is what is scored, and the relaxation tends to it."""

import pytest
import torch
from latent_cases import codes
from torch import Tensor
from torch.distributions import Categorical as Choice
from torch.distributions import RelaxedOneHotCategorical, kl_divergence
from vae_cases import DOUBLE, SQUARE

from gen_dist.learner import Context
from gen_dist.models.vae.gumbel import Categorical, GumbelVAEConfig
from gen_dist.types import ImageBatch, Moment


def posterior(num: int = 1) -> Categorical:
    """Two variables of three categories."""
    logits = torch.tensor([[0.5, -1.0, 0.2], [2.0, 0.0, -0.5]], dtype=DOUBLE)
    return Categorical(logits.log_softmax(1).expand(num, -1, -1))


def test_the_divergence_is_that_of_categorical_distributions() -> None:
    found = posterior().divergence_from_uniform()[0]
    uniform = Choice(logits=torch.zeros(2, 3, dtype=DOUBLE))
    torch.testing.assert_close(found, kl_divergence(Choice(logits=posterior().log_probability[0]), uniform))
    log_probability = codes(2, 3) @ posterior().log_probability.flatten()  # of all nine pairs
    enumerated = (log_probability.exp() * (log_probability + torch.tensor(9.0, dtype=DOUBLE).log())).sum()
    torch.testing.assert_close(found.sum(), enumerated)


def test_a_variable_that_is_certain_costs_the_logarithm_of_its_categories() -> None:
    logits = torch.tensor([[[200.0, 0.0, 0.0, 0.0]]], requires_grad=True)
    divergence = Categorical(logits.log_softmax(2)).divergence_from_uniform()
    torch.testing.assert_close(divergence, torch.tensor([[4.0]]).log())
    (gradient,) = torch.autograd.grad(divergence.sum(), logits)
    assert gradient.isfinite().all()


def frequencies(values: Tensor) -> Tensor:
    return values.reshape(-1, 2, 3).mean(0)


def test_draws_are_categories_in_their_proportions() -> None:
    draws = posterior().draw(100_000)
    assert set(draws.latents.unique().tolist()) == {0.0, 1.0}
    assert (draws.latents.reshape(-1, 2, 3).sum(2) == 1.0).all()
    expected = posterior().log_probability[0].exp()
    torch.testing.assert_close(frequencies(draws.latents), expected, atol=0.0065, rtol=0.0)  # four standard errors


@pytest.mark.parametrize("temperature", [0.05, 0.7, 3.0])
def test_relaxed_draws_follow_the_gumbel_softmax_distribution(temperature: float) -> None:
    many = posterior(200_000)
    relaxed = many.relaxed(temperature, straight_through=False).reshape(-1, 2, 3)
    torch.testing.assert_close(relaxed.sum(2), torch.ones(200_000, 2, dtype=DOUBLE))
    reference = RelaxedOneHotCategorical(torch.tensor(temperature, dtype=DOUBLE), logits=many.log_probability).sample()
    for moment in (1, 2):  # standard errors are below 0.0012
        torch.testing.assert_close(relaxed.pow(moment).mean(0), reference.pow(moment).mean(0), atol=0.006, rtol=0.0)
    chosen = frequencies(torch.nn.functional.one_hot(relaxed.argmax(2), 3).to(DOUBLE))
    torch.testing.assert_close(chosen, posterior().log_probability[0].exp(), atol=0.005, rtol=0.0)


def test_straight_through_shows_categories_and_passes_the_relaxed_gradient() -> None:
    logits = torch.randn(5, 2, 3, dtype=DOUBLE, requires_grad=True)
    weight = torch.randn(5, 6, dtype=DOUBLE)
    gradients = []
    for straight_through in (False, True):
        torch.manual_seed(1)
        values = Categorical(logits.log_softmax(2)).relaxed(0.7, straight_through=straight_through)
        gradients.append(torch.autograd.grad((values * weight).sum(), logits)[0])
    torch.testing.assert_close(values, values.round())
    assert (values.round().reshape(5, 2, 3).sum(2) == 1.0).all()
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_temperature_falls_geometrically_and_is_a_function_of_the_moment_alone() -> None:
    config = GumbelVAEConfig(initial_temperature=1.0, final_temperature=0.25, anneal_images=1000)
    found = [config.temperature(Moment(samples_seen=seen)) for seen in (0, 500, 1000, 9999)]
    assert found == pytest.approx([1.0, 0.5, 0.25, 0.25])
    assert GumbelVAEConfig(final_temperature=0.3).temperature(Moment()) == pytest.approx(0.3)


@pytest.mark.parametrize("straight_through", [False, True])
def test_every_weight_moves_and_the_temperature_is_reported(straight_through: bool) -> None:
    config = GumbelVAEConfig(
        decoder="bernoulli", hidden=(6,), latent_dim=2, num_categories=3, straight_through=straight_through
    )
    model = config.build(SQUARE).double()
    images = torch.randint(0, 256, (8, *SQUARE.shape), dtype=torch.uint8)
    signal = model.negative_bound(ImageBatch(images=images), Context(Moment(), 0, 0, {}))
    assert float(signal.metrics["temperature"]) == pytest.approx(0.5)
    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 1.0)
    assert all(p.grad is not None and p.grad.abs().sum() > 0.0 for p in parameters)


def test_samples_come_from_the_uniform_prior_at_any_temperature() -> None:
    model = GumbelVAEConfig(hidden=(6,), latent_dim=2, num_categories=3).build(SQUARE).double()
    latents = model.draw_latents(30_000)
    third = torch.full((2, 3), 1.0 / 3.0, dtype=DOUBLE)
    torch.testing.assert_close(frequencies(latents), third, atol=0.011, rtol=0.0)  # four standard errors
    torch.manual_seed(4)
    first = model.sample(5, temperature=0.1)
    torch.manual_seed(4)
    assert torch.equal(model.sample(5), first)


def test_settings_of_categories_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.num_categories is 1"):
        GumbelVAEConfig(num_categories=1)
    with pytest.raises(ValueError, match=r"model\.final_temperature is 0"):
        GumbelVAEConfig(final_temperature=0.0)
    with pytest.raises(ValueError, match=r"model\.anneal_images is -1"):
        GumbelVAEConfig(anneal_images=-1)
