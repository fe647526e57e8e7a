"""One law for all latent variable models: what is drawn, how it is scored, and how bounds order below the truth.

Each family's small model is compared with integrals over its latents: a grid in one or two dimensions, or all codes.
"""

import itertools
import math

import pytest
import torch
from latent_cases import CASES, Case, reference_log_density
from torch import Tensor
from vae_cases import (
    DOUBLE,
    SQUARE,
    as_images,
    exact_posterior,
    linear_weights,
    set_linear_decoder,
    zero,
)

from gen_dist.learner import Context, Loss
from gen_dist.losses.likelihood import standard_normal_log_density
from gen_dist.models.vae.gumbel import GumbelVAEConfig
from gen_dist.models.vae.iaf import IAFVAEConfig
from gen_dist.models.vae.iwae import IWAEConfig
from gen_dist.models.vae.latent import LatentVariableModel
from gen_dist.models.vae.mixture_posterior import MixtureVAEConfig
from gen_dist.models.vae.settings import LatentVariableConfig
from gen_dist.models.vae.vae import VAEConfig
from gen_dist.types import ImageBatch, Moment

IMAGES = 255 * torch.tensor(list(itertools.product((0, 1), repeat=4)), dtype=torch.uint8).reshape(16, *SQUARE.shape)
ONE = IMAGES[6:7]  # two white pixels, crosswise
PAIR = IMAGES[[6, 11]]

every_family = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def log_joint(model: LatentVariableModel, latents: Tensor, images: Tensor) -> Tensor:
    """Log p(x, z) of every image at every latent vector (images x latents), the prior by its formula."""
    targets = model.targets(images)
    many = latents[:, None].expand(-1, len(images), -1)
    if isinstance(model.latent_config, GumbelVAEConfig):
        prior = torch.full((len(latents),), -math.log(len(latents)), dtype=DOUBLE)  # one over the number of codes
    else:
        prior = standard_normal_log_density(latents).sum(1)
    return (model.log_likelihood(targets, many) + prior[:, None]).T


def assert_mean(values: Tensor, expected: Tensor) -> None:
    """Independent estimates average to what is expected, to four standard errors (and rounding)."""
    error = values.std() / math.sqrt(len(values))
    assert abs(float(values.mean() - expected)) < 4.0 * float(error) + 1e-9, (float(values.mean()), float(expected))


@every_family
@torch.no_grad()
def test_all_images_together_have_probability_one(case: Case) -> None:
    model = case.model()
    exact = torch.logsumexp(log_joint(model, case.latents(), IMAGES), 1) + case.log_volume
    torch.testing.assert_close(exact.exp().sum(), torch.ones((), dtype=DOUBLE))


@every_family
@torch.no_grad()
def test_the_posterior_is_normalised_and_draws_carry_its_density(case: Case) -> None:
    model, latents = case.model(), case.latents()
    posterior = model.posterior(model.targets(PAIR))
    draws = posterior.draw(50)
    torch.testing.assert_close(draws.log_shares.exp().sum(0), torch.ones(2, dtype=DOUBLE))
    for index in range(2):
        total = reference_log_density(posterior, latents, index).exp().sum() * math.exp(case.log_volume)
        torch.testing.assert_close(total, torch.ones((), dtype=DOUBLE), rtol=1e-5, atol=1e-5)
        said = draws.log_density[:, index].sum(1)
        torch.testing.assert_close(said, reference_log_density(posterior, draws.latents[:, index], index))


@every_family
@torch.no_grad()
def test_the_bound_and_its_divergence_are_the_integrals_that_they_estimate(case: Case) -> None:
    model, latents = case.model(), case.latents()
    many = model.targets(ONE).expand(20_000, -1, -1, -1)
    posterior = model.posterior(many)
    log_density = reference_log_density(posterior, latents, 0)
    probability = (log_density + case.log_volume).exp()
    joint = log_joint(model, latents, ONE)[0]
    bound = (probability * (joint - log_density)).sum()
    likelihood = model.log_likelihood(many[:1], latents[:, None])[:, 0]
    divergence = (probability * (log_density - joint + likelihood)).sum()
    assert divergence > 0.05, "the posterior is the prior: this would show nothing"
    terms = model.bound_terms(many, posterior)
    assert_mean(terms.divergence.sum(1), divergence)
    assert_mean(terms.bound, bound)


@every_family
@torch.no_grad()
def test_importance_weights_average_to_the_exact_likelihood(case: Case) -> None:
    model = case.model()
    exact = torch.logsumexp(log_joint(model, case.latents(), ONE)[0], 0) + case.log_volume
    many = model.targets(ONE).expand(40_000, -1, -1, -1)
    draws = model.posterior(many).draw(1)
    weights = draws.expectation(model.log_importance_weights(many, draws).exp())
    assert_mean(weights, exact.exp())


@every_family
@torch.no_grad()
def test_bounds_rise_with_the_number_of_draws_and_stay_below_the_truth(case: Case) -> None:
    model = case.model()
    exact = torch.logsumexp(log_joint(model, case.latents(), ONE)[0], 0) + case.log_volume
    num = 8_000
    many = model.targets(ONE).expand(num, -1, -1, -1)
    posterior = model.posterior(many)
    plain = model.bound_terms(many, posterior).bound
    bounds = [plain, *(model.importance_weighted_bound(many, posterior, k) for k in (2, 8, 40))]  # 40: in three parts
    means = [float(bound.mean()) for bound in bounds]
    errors = [float(bound.std()) / math.sqrt(num) for bound in bounds]
    for (low, high), (error, other) in zip(itertools.pairwise(means), itertools.pairwise(errors), strict=True):
        assert high - low > 4.0 * math.hypot(error, other), "the steps are large beside the noise"
    assert means[-1] < float(exact) + 4.0 * errors[-1]
    assert float(exact) - means[-1] < 0.25 * (float(exact) - means[0])


@every_family
def test_scores_are_the_bound_that_is_configured(case: Case) -> None:
    model = case.model()
    torch.manual_seed(3)
    plain = model.log_probability(IMAGES)
    torch.manual_seed(3)
    targets = model.targets(IMAGES)
    with torch.no_grad():
        expected = model.bound_terms(targets, model.posterior(targets)).bound
    torch.testing.assert_close(plain, expected)
    assert model.likelihood_kind == "lower bound"
    assert model.likelihood_of == "binary"


@every_family
def test_latents_are_differentiable_and_of_one_length(case: Case) -> None:
    model = case.model()
    latents = model.encode(PAIR)
    assert latents.requires_grad
    assert latents.shape == (2, model.num_latents) == model.draw_latents(2).shape
    assert torch.equal(latents, model.encode(PAIR)), "nothing is drawn"
    assert model.decode(latents.detach()).shape == PAIR.shape
    with pytest.raises(ValueError, match="unconditional"):
        model.sample(2, condition=torch.zeros(2))


def linear(config: LatentVariableConfig) -> tuple[LatentVariableModel, Tensor, torch.distributions.MultivariateNormal]:
    """A model of linear-Gaussian images at its optimum, as far as its posterior is a diagonal Gaussian's equal."""
    model = config.build(SQUARE).double()
    assert isinstance(model, LatentVariableModel)
    zero(model)
    weight, bias, exact = linear_weights()
    set_linear_decoder(model, weight, bias)
    encode, offset, variance = exact_posterior(weight, bias)
    encoder = model.encoder[1]
    num = config.num_components if isinstance(config, MixtureVAEConfig) else 1
    first = num if isinstance(config, MixtureVAEConfig) else 0  # the mixture's weights come first
    with torch.no_grad():
        encoder.bias[:first] = torch.randn(first)
        encoder.weight[first : first + 2 * num] = encode.repeat(num, 1)
        encoder.bias[first : first + 2 * num] = offset.repeat(num)
        encoder.bias[first + 2 * num : first + 4 * num] = variance.log().repeat(num)
        if isinstance(config, IAFVAEConfig):
            for step in model.steps:
                step.last.bias.fill_(80.0)  # open gates: the flow moves nothing
    return model, exact.sample((20,)), exact


LINEAR = {"decoder": "gaussian", "hidden": (), "latent_dim": 2}


@pytest.mark.parametrize(
    "config",
    [
        VAEConfig(**LINEAR),
        IWAEConfig(**LINEAR, training_samples=7),
        MixtureVAEConfig(**LINEAR, num_components=3),
        MixtureVAEConfig(**LINEAR, num_components=3, objective="importance-weighted", training_samples=2),
        IAFVAEConfig(**LINEAR),
    ],
    ids=lambda config: type(config).__name__,
)
def test_at_the_optimum_every_family_s_bounds_are_exact(config: LatentVariableConfig) -> None:
    """A linear-Gaussian model's likelihood has a closed form, and its exact posterior lies in every family."""
    model, values, exact = linear(config)
    targets, expected = as_images(values), exact.log_prob(values)
    with torch.no_grad():
        for k in (1, 5):
            bound = model.importance_weighted_bound(targets, model.posterior(targets), k)
            torch.testing.assert_close(bound, expected)
        objective, _ = model.objective(targets, Moment())
    match config:
        case IWAEConfig() | MixtureVAEConfig(objective="importance-weighted"):
            torch.testing.assert_close(-objective, expected.mean())
        case _:  # the reconstruction varies with its draw
            many = targets[:1].expand(20_000, -1, -1, -1)
            with torch.no_grad():
                assert_mean(model.bound_terms(many, model.posterior(many)).bound, expected[0])


@pytest.mark.parametrize(
    ("config", "num_draws"),
    [
        (VAEConfig(hidden=(6,)), 0),
        (IWAEConfig(hidden=(6,), training_samples=4), 4),
        (MixtureVAEConfig(hidden=(6,)), 0),
        (MixtureVAEConfig(hidden=(6,), objective="importance-weighted", training_samples=3), 3),
        (IAFVAEConfig(hidden=(6,)), 0),
    ],
    ids=["vae", "iwae", "mixture", "mixture, importance-weighted", "iaf"],
)
@torch.no_grad()
def test_training_maximises_the_bound_that_the_configuration_names(
    config: LatentVariableConfig, num_draws: int
) -> None:
    """From the same draws; 0 stands for the plain bound. A relaxed objective bounds nothing, so Gumbel is not here."""
    model = config.build(SQUARE).double()
    assert isinstance(model, LatentVariableModel)
    targets = model.targets(torch.randint(0, 256, (9, *SQUARE.shape), dtype=torch.uint8))
    torch.manual_seed(6)
    objective, _ = model.objective(targets, Moment())
    posterior = model.posterior(targets)
    torch.manual_seed(6)
    if num_draws:
        expected = model.importance_weighted_bound(targets, posterior, num_draws)
    else:
        expected = model.bound_terms(targets, posterior).bound
    torch.testing.assert_close(-objective, expected.mean())


@every_family
def test_the_phase_is_the_objective_in_bits_per_dimension(case: Case) -> None:
    model = case.model()
    batch, context = ImageBatch(images=IMAGES), Context(Moment(samples_seen=10), 0, 0, {})
    torch.manual_seed(5)
    nats, metrics = model.objective(model.targets(IMAGES), context.moment)
    (phase,) = model.phases
    torch.manual_seed(5)
    signal = phase.signal(batch, context)
    assert isinstance(signal, Loss)
    torch.testing.assert_close(signal.value, nats / (4 * math.log(2.0)))
    assert {"loss", "active_units"} <= signal.metrics.keys()
    assert all(not metric.requires_grad and metric.ndim == 0 for metric in metrics.values())
    assert 0.0 <= float(signal.metrics["active_units"]) <= case.config.latent_dim
