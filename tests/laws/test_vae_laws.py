"""VAE: the bound lies below the exact log-likelihood and touches it where it should; decoders are normalised."""

import copy
import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import kl_divergence
from vae_cases import DOUBLE, SQUARE, as_images, linear_gaussian, zeroed

from gen_dist.learner import Context, Loss
from gen_dist.losses.divergence import kl_from_standard_normal
from gen_dist.models.vae.decoders import GaussianDecoder
from gen_dist.models.vae.posterior import DiagonalGaussian
from gen_dist.models.vae.vae import VAE, VAEConfig
from gen_dist.types import DataSpec, ImageBatch, Moment


def displaced(model: VAE) -> VAE:
    """The same decoder, a worse posterior."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.encoder[1].bias.add_(torch.tensor([0.4, -0.3, 0.5, -0.7], dtype=DOUBLE))
    return model


def test_at_the_optimum_every_draw_gives_the_exact_log_likelihood() -> None:
    model, exact = linear_gaussian()
    images = exact.sample((20,))
    with torch.no_grad():
        targets = as_images(images)
        bound = model.importance_weighted_bound(targets, model.posterior(targets), 1)
    torch.testing.assert_close(bound, exact.log_prob(images))


@pytest.mark.parametrize("at_optimum", [True, False])
def test_the_bound_falls_short_by_the_divergence_from_the_exact_posterior(at_optimum: bool) -> None:
    best, exact = linear_gaussian()
    model = best if at_optimum else displaced(best)
    image = exact.sample((1,)).reshape(1, 1, 2, 2)
    num = 100_000
    with torch.no_grad():
        many = image.expand(num, -1, -1, -1)
        bound = model.bound_terms(many, model.posterior(many)).bound
        posterior, best_posterior = model.posterior(image), best.posterior(image)
    gap = kl_divergence(
        torch.distributions.Normal(posterior.mean, (0.5 * posterior.log_variance).exp()),
        torch.distributions.Normal(best_posterior.mean, (0.5 * best_posterior.log_variance).exp()),
    ).sum()
    assert (gap > 0.2) != at_optimum
    expected = exact.log_prob(image.flatten(1))[0] - gap
    assert abs(float(bound.mean() - expected)) < 4.0 * float(bound.std()) / math.sqrt(num)  # four standard errors


def test_the_importance_weighted_bound_rises_towards_the_exact_log_likelihood() -> None:
    best, exact = linear_gaussian()
    model, images = displaced(best), exact.sample((4000,))
    with torch.no_grad():
        targets = as_images(images)
        posterior = model.posterior(targets)
        bounds = [float(model.importance_weighted_bound(targets, posterior, num).mean()) for num in (1, 4, 16, 64)]
    truth = float(exact.log_prob(images).mean())
    gaps = [truth - bound for bound in bounds]
    assert gaps[0] > 2.0 * gaps[1] > 4.0 * gaps[2] > 0.0  # far apart beside the noise of 4,000 images
    assert abs(gaps[3]) < 0.2 * gaps[0]


def test_a_bernoulli_decoder_s_images_sum_to_one_and_lie_above_both_bounds() -> None:
    """With one latent variable, the exact probability of an image is an integral that quadrature can do."""
    torch.manual_seed(2)
    model = VAEConfig(decoder="bernoulli", hidden=(6,), latent_dim=1).build(SQUARE).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    images = torch.tensor(list(itertools.product((0, 255), repeat=4)), dtype=torch.uint8).reshape(-1, 1, 2, 2)
    targets = model.targets(images)
    latents = torch.linspace(-9.0, 9.0, 2001, dtype=DOUBLE)[:, None]
    prior = torch.exp(-0.5 * latents[:, 0].square()) / math.sqrt(2.0 * math.pi)
    with torch.no_grad():
        likelihood = torch.stack(
            [model.log_likelihood(target[None].expand(2001, -1, -1, -1), latents[None])[0].exp() for target in targets]
        )
        exact = torch.trapezoid(likelihood * prior, latents[:, 0]).log()
        many = targets.repeat(2000, 1, 1, 1)
        posterior = model.posterior(many)
        bound = model.bound_terms(many, posterior).bound.reshape(2000, 16)
        tighter = model.importance_weighted_bound(many, posterior, 10).reshape(2000, 16)
    torch.testing.assert_close(exact.exp().sum(), torch.ones((), dtype=DOUBLE))
    error = bound.std(0) / math.sqrt(2000)
    assert (bound.mean(0) < exact + 4.0 * error).all()
    assert (tighter.mean(0) < exact + 4.0 * tighter.std(0) / math.sqrt(2000)).all()
    assert (tighter.mean(0) > bound.mean(0) - 4.0 * error).all()
    assert (exact - bound.mean(0)).mean() > (exact - tighter.mean(0)).mean() > 0.0


def test_eight_bit_probabilities_sum_to_one_whatever_the_decoder() -> None:
    """With weights of 0 the bound is exact; one pixel has 256 values."""
    pixel = DataSpec(channels=1, height=1, width=1)
    values = torch.arange(256, dtype=torch.uint8).reshape(256, 1, 1, 1)
    logistic = zeroed(VAEConfig(decoder="discretised-logistic", latent_dim=1, hidden=()).build(pixel).double())
    total = logistic.log_probability(values).exp().sum()
    torch.testing.assert_close(total, torch.ones((), dtype=DOUBLE))
    gaussian = zeroed(VAEConfig(decoder="gaussian", latent_dim=1, hidden=()).build(pixel).double())
    with torch.no_grad():
        gaussian.decoder[1].bias[1] = -1.5
    # Averaged over dequantisation noise; what is missing is the density's mass outside [-1, 1], below 1e-5.
    total = torch.stack([gaussian.log_probability(values).exp().sum() for _ in range(200)]).mean()
    torch.testing.assert_close(total, torch.ones((), dtype=DOUBLE), rtol=0.0, atol=1e-3)


def test_reparameterised_draws_carry_the_divergence_s_distribution() -> None:
    mean, log_variance = torch.tensor([[0.5, -1.0]], dtype=DOUBLE), torch.tensor([[-1.0, 0.6]], dtype=DOUBLE)
    mean.requires_grad_()
    latents = DiagonalGaussian(mean, log_variance).draw(100_000).latents[:, 0]
    torch.testing.assert_close(latents.mean(0), mean[0], rtol=0.0, atol=0.02)  # four standard errors: 0.017
    torch.testing.assert_close(latents.var(0), log_variance[0].exp(), rtol=0.02, atol=0.0)
    (slope,) = torch.autograd.grad(latents.sum(), mean)
    assert (slope == 100_000.0).all()


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
@pytest.mark.parametrize("decoder", ["bernoulli", "discretised-logistic", "gaussian"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7)], ids=str)
def test_the_phase_is_the_bound_and_moves_every_weight(
    shape: tuple[int, int, int], decoder: str, architecture: str
) -> None:
    data = DataSpec(channels=shape[0], height=shape[1], width=shape[2])
    config = VAEConfig(decoder=decoder, architecture=architecture, hidden=(6, 8), latent_dim=3, beta=2.0)
    model = config.build(data).double()
    images = torch.randint(0, 256, (5, *shape), dtype=torch.uint8)
    (phase,) = model.phases
    torch.manual_seed(7)
    signal = phase.signal(ImageBatch(images=images), Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    torch.manual_seed(7)
    score = model.log_probability(images).mean()
    with torch.no_grad():
        posterior = model.posterior(model.targets(images))
        divergence = kl_from_standard_normal(posterior.mean, posterior.log_variance).mean()
    if decoder != "gaussian":  # whose encoder sees fresh dequantisation noise
        torch.testing.assert_close(signal.metrics["divergence"], divergence)
    expected = (signal.metrics["divergence"] - score) / (data.num_dimensions * math.log(2.0))  # beta 2: once more
    torch.testing.assert_close(signal.value.detach(), expected)
    parameters = model.active(phase.player, Moment())
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters()}
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 1.0)
    assert all(p.grad is not None and p.grad.abs().sum() > 0.0 for p in parameters)


def test_samples_follow_the_decoder() -> None:
    """Without latents' influence: means are constant, draws have the decoder's noise."""

    def spread(decoder: str, pixel_noise: bool) -> Tensor:
        config = VAEConfig(decoder=decoder, pixel_noise=pixel_noise, hidden=(), latent_dim=1)
        model = zeroed(config.build(SQUARE).double())
        if decoder != "bernoulli":
            with torch.no_grad():
                model.decoder[1].bias[4:] = -2.5
        return model.sample(2000).double().std(0).mean()

    scale = 127.5 * math.exp(-2.5)
    assert [float(spread(decoder, False)) for decoder in ("bernoulli", "discretised-logistic", "gaussian")] == [0.0] * 3
    # 8,000 draws: standard deviations are good to 2 %.
    assert abs(float(spread("bernoulli", True)) / 127.5 - 1.0) < 0.05
    assert abs(float(spread("gaussian", True)) / scale - 1.0) < 0.05
    assert abs(float(spread("discretised-logistic", True)) / (scale * math.pi / math.sqrt(3.0)) - 1.0) < 0.05


def test_a_gaussian_decoder_draws_the_value_whose_bin_it_hits() -> None:
    """Wherever dequantisation puts a value in its bin, a Gaussian without width that stands there draws that value."""
    decoder = GaussianDecoder()
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(50, -1, -1, -1)
    targets = decoder.targets(images, DOUBLE)
    output = torch.cat([targets, torch.full_like(targets, -math.inf)], 1)
    assert torch.equal(decoder.draw(output), images)
    assert torch.equal(decoder.mean(output), images)


def test_temperature_scales_the_prior() -> None:
    model = VAEConfig(hidden=(8,), latent_dim=4).build(SQUARE).double()
    assert (model.sample(20, temperature=0.0) == model.sample(1, temperature=0.0)).all()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.latent_dim is 0"):
        VAEConfig(latent_dim=0)
    with pytest.raises(ValueError, match=r"model\.hidden is empty"):
        VAEConfig(architecture="conv", hidden=())
    with pytest.raises(ValueError, match=r"model\.beta is -1"):
        VAEConfig(beta=-1.0)
