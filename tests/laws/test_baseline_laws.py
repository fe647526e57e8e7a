"""Baselines: densities equal scikit-learn's and torch's, integrate to 1, and are what samples are drawn from."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as PublicMixture
from torch import Tensor

from gen_dist.models.baseline.baseline import NOISE_VARIANCE, Baseline, moments
from gen_dist.models.baseline.gaussian import Gaussian, GaussianConfig
from gen_dist.models.baseline.kernel_density import KernelDensity, KernelDensityConfig
from gen_dist.models.baseline.mixture import GaussianMixture, GaussianMixtureConfig, k_means
from gen_dist.models.baseline.ppca import PPCA, PPCAConfig
from gen_dist.types import DataSpec, ImageBatch

DOUBLE = torch.float64
CONFIGS = {
    "gaussian": GaussianConfig(),
    "ppca": PPCAConfig(latent_dim=1),
    "full mixture": GaussianMixtureConfig(num_components=3, prior_images=2.0),
    "diagonal mixture": GaussianMixtureConfig(num_components=3, covariance="diag"),
    "kernel density": KernelDensityConfig(num_images=50),
}


def images(num: int, height: int = 2, width: int = 3, *, spread: float = 6.0) -> Tensor:
    """Three groups of correlated pixels, far from the ends of the range."""
    random = torch.Generator().manual_seed(4)
    mix = torch.randn(height * width, height * width, generator=random)
    noise = torch.randn(num, height * width, generator=random) @ mix * spread
    groups = 128.0 + 30.0 * (torch.arange(num) % 3 - 1)[:, None]
    return (groups + noise).round().clamp(0, 255).to(torch.uint8).reshape(num, 1, height, width)


def fitted(config: object, data: Tensor) -> Baseline:
    torch.manual_seed(0)
    spec = DataSpec(channels=data.shape[1], height=data.shape[2], width=data.shape[3])
    model = config.build(spec)  # type: ignore[attr-defined]
    model.prepare(ImageBatch(images=data))
    assert isinstance(model, Baseline)
    return model


def points(num: int, size: int = 6) -> Tensor:
    torch.manual_seed(1)
    return 128.0 + 40.0 * torch.randn(num, size, dtype=DOUBLE)


def with_all_noise(data: Tensor) -> Tensor:
    """A sample with the moments of the images under uniform noise: each image moved both ways along every axis."""
    flat = data.flatten(1).double() + 0.5
    size = flat.shape[1]
    steps = math.sqrt(size * NOISE_VARIANCE) * torch.eye(size, dtype=DOUBLE)
    return (flat[:, None] + torch.cat([steps, -steps])).reshape(-1, size)


def unbiased_as_biased(sample: Tensor) -> Tensor:
    """The sample drawn together so that its unbiased covariance is what its biased one was."""
    mean = sample.mean(0)
    return mean + (sample - mean) * math.sqrt((len(sample) - 1) / len(sample))


def test_moments_are_those_of_images_under_all_noise() -> None:
    data = images(40)
    mean, covariance = moments(data.flatten(1))
    sample = with_all_noise(data)
    torch.testing.assert_close(mean, sample.mean(0))
    torch.testing.assert_close(covariance, sample.T.cov(correction=0))
    drawn = data.flatten(1).double().repeat(1000, 1) + torch.rand(40_000, 6, dtype=DOUBLE)
    # Four standard errors of a covariance of the noise (0.29) with pixels (40) in 40,000 draws, in twos: 4 * 2 * 0.06.
    torch.testing.assert_close(covariance, drawn.T.cov(correction=0), rtol=0.0, atol=0.5)


def test_the_gaussian_is_torch_s() -> None:
    data = images(40)
    model, sample = fitted(GaussianConfig(), data), with_all_noise(data)
    public = torch.distributions.MultivariateNormal(sample.mean(0), sample.T.cov(correction=0))
    torch.testing.assert_close(model.log_density(points(9)), public.log_prob(points(9)))


@pytest.mark.parametrize("latent_dim", [1, 3, 5])
def test_ppca_is_scikit_learn_s(latent_dim: int) -> None:
    data = images(40)
    model = fitted(PPCAConfig(latent_dim=latent_dim), data)
    public = PCA(latent_dim, svd_solver="full").fit(unbiased_as_biased(with_all_noise(data)).numpy())
    expected = torch.from_numpy(public.score_samples(points(9).numpy()))
    torch.testing.assert_close(model.log_density(points(9)), expected)


def test_ppca_of_full_rank_is_the_gaussian() -> None:
    data = images(40)
    full, gaussian = fitted(PPCAConfig(latent_dim=5), data), fitted(GaussianConfig(), data)
    torch.testing.assert_close(full.log_density(points(9)), gaussian.log_density(points(9)))
    less = fitted(PPCAConfig(latent_dim=2), data)
    assert not torch.allclose(less.log_density(points(9)), gaussian.log_density(points(9)), atol=0.1)
    with pytest.raises(ValueError, match=r"latent_dim is 6.*less than the 6"):
        fitted(PPCAConfig(latent_dim=6), data)


def test_ppca_s_encoding_is_the_posterior_mean_of_its_latents() -> None:
    data = images(40)
    model = fitted(PPCAConfig(latent_dim=2), data)
    assert isinstance(model, PPCA)
    weight, centred = model.weight, data.flatten(1).double() + 0.5 - model.mean
    covariance = weight @ weight.T + model.noise_variance * torch.eye(6, dtype=DOUBLE)
    expected = (weight.T @ torch.linalg.solve(covariance, centred.T)).T  # conditioning of a joint Gaussian
    torch.testing.assert_close(model.encode(data), expected)
    mean = model.decode(torch.zeros(1, 2, dtype=DOUBLE))
    assert torch.equal(mean.flatten(), model.mean.floor().to(torch.uint8))


def public_mixture(model: GaussianMixture, centres: Tensor, max_steps: int, floor: float) -> PublicMixture:
    """scikit-learn's mixture from the same start."""
    full = model.config.covariance == "full"
    covariances = model.scales @ model.scales.mT if full else model.scales.square()
    public = PublicMixture(
        len(model.weights),
        covariance_type=model.config.covariance,
        weights_init=model.weights.numpy(),
        means_init=model.means.numpy(),
        precisions_init=(torch.linalg.inv(covariances) if full else 1.0 / covariances).numpy(),
        max_iter=max_steps,
        tol=1e-12,
        reg_covar=floor,
    )
    return public.fit(centres.numpy())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_em_and_the_mixture_s_density_are_scikit_learn_s(covariance: str) -> None:
    """Without the noise's mean loss in the E step, which scikit-learn has not; its M step adds the same floor."""
    centres = images(90).flatten(1).double() + 0.5
    model = fitted(GaussianMixtureConfig(num_components=3, covariance=covariance, max_steps=1), images(90))
    assert isinstance(model, GaussianMixture)
    pooled = moments(images(90).flatten(1))[1]
    torch.manual_seed(3)
    model.maximise(centres, torch.rand(90, 3, dtype=DOUBLE).softmax(1), pooled)  # far from the optimum
    public = public_mixture(model, centres, 4, NOISE_VARIANCE)
    before = model.log_density(points(9))
    for _ in range(4):
        model.maximise(centres, model.expect(centres, noise_variance=0.0)[0], pooled)
    assert not torch.allclose(model.log_density(points(9)), before, atol=0.1)
    expected = torch.from_numpy(public.score_samples(points(9).numpy()))
    torch.testing.assert_close(model.log_density(points(9)), expected)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_em_raises_a_bound_on_the_mean_density_of_noisy_images(covariance: str) -> None:
    data = images(60, spread=0.3)  # so narrow that the noise matters
    centres, pooled = data.flatten(1).double() + 0.5, moments(data.flatten(1))[1]
    model = fitted(GaussianMixtureConfig(num_components=4, covariance=covariance, max_steps=1), data)
    assert isinstance(model, GaussianMixture)
    torch.manual_seed(3)
    model.maximise(centres, torch.rand(60, 4, dtype=DOUBLE).softmax(1), pooled)  # far from the optimum
    bounds = []
    for _ in range(12):
        responsibilities, bound = model.expect(centres)
        torch.testing.assert_close(responsibilities.sum(1), torch.ones(60, dtype=DOUBLE))
        bounds.append(bound)
        model.maximise(centres, responsibilities, pooled)
    gains = np.diff(bounds)
    assert (gains > -1e-9).all()
    assert gains.sum() > 0.1
    noisy = data.flatten(1).double().repeat(200, 1) + torch.rand(12_000, 6, dtype=DOUBLE)
    density = model.log_density(noisy)
    error = float(density.std()) / math.sqrt(12_000)
    assert model.expect(centres)[1] <= float(density.mean()) + 4.0 * error


def test_a_group_s_covariance_borrows_from_all() -> None:
    data = images(60)
    centres, pooled = data.flatten(1).double() + 0.5, moments(data.flatten(1))[1]
    model = fitted(GaussianMixtureConfig(num_components=2, prior_images=10.0), data)
    assert isinstance(model, GaussianMixture)
    shares = torch.nn.functional.one_hot((torch.arange(60) < 20).long(), 2).double()
    model.maximise(centres, shares, pooled)
    own = centres[:20].T.cov(correction=0) + NOISE_VARIANCE * torch.eye(6, dtype=DOUBLE)
    torch.testing.assert_close(model.scales[1] @ model.scales[1].T, (20.0 * own + 10.0 * pooled) / 30.0)


def test_k_means_finds_groups_that_lie_apart() -> None:
    torch.manual_seed(2)
    truth = torch.arange(90) % 3
    values = 100.0 * torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]], dtype=DOUBLE)[truth] + points(90, 2)
    labels = k_means(values, 3)
    assert len(set(zip(truth.tolist(), labels.tolist(), strict=True))) == 3
    assert (k_means(torch.ones(5, 2, dtype=DOUBLE), 3) == 0).all()  # where all rows are alike


@pytest.mark.parametrize("name", CONFIGS)
def test_the_density_integrates_to_one_in_two_dimensions(name: str) -> None:
    model = fitted(CONFIGS[name], images(45, 1, 2))
    axis = torch.linspace(-100.0, 356.0, 457, dtype=DOUBLE)
    density = model.log_density(torch.cartesian_prod(axis, axis)).exp().reshape(457, 457)
    total = torch.trapezoid(torch.trapezoid(density, axis), axis)
    # Standard deviations are above the step of 1, where the trapezoid rule is exact to far less than this.
    torch.testing.assert_close(total, torch.ones((), dtype=DOUBLE), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_samples_have_the_density_s_frequencies(name: str) -> None:
    """Counts in 12 bins of equal width along one pixel against the marginal of the density (chi-square)."""
    model = fitted(CONFIGS[name], images(45, 1, 2))
    torch.manual_seed(8)
    drawn = model.sample(4000)
    assert drawn.shape == (4000, 1, 1, 2)
    first = drawn[:, 0, 0, 0].double()
    axis = torch.arange(-100.0, 356.0, dtype=DOUBLE) + 0.5
    density = model.log_density(torch.cartesian_prod(axis, axis)).exp().reshape(456, 456).sum(1)
    edges = [-math.inf, *range(78, 188, 10), math.inf]
    found, expected = [], []
    for low, high in itertools.pairwise(edges):
        found.append(float(((first >= low) & (first < high)).sum()))
        expected.append(4000 * float(density[(axis >= low) & (axis < high)].sum()))
    assert min(expected) > 5.0
    statistic = sum((f - e) ** 2 / e for f, e in zip(found, expected, strict=True))
    assert statistic < 31.3  # 11 degrees of freedom: exceeded once in 1,000 seeds


@pytest.mark.parametrize("name", CONFIGS)
def test_samples_have_the_moments_of_the_density_and_temperature_scales_them(name: str) -> None:
    data = images(45)
    model = fitted(CONFIGS[name], data)
    torch.manual_seed(5)
    drawn = model.draw(20_000, 1.0)
    mean, covariance = moments(data.flatten(1))
    spread = covariance.diagonal().sqrt()
    # Of four standard errors; all five models keep the images' mean.
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0.0, atol=4.0 * float(spread.max()) / math.sqrt(20_000))
    if name in ("gaussian", "full mixture", "diagonal mixture", "kernel density"):
        wider = float(model.bandwidth**2) - NOISE_VARIANCE if isinstance(model, KernelDensity) else 0.0
        wider += float(spread.square().mean()) * 2.0 / 17.0 if name == "full mixture" else 0.0  # its prior
        expected = spread.square() + wider
        torch.testing.assert_close(drawn.var(0), expected, rtol=0.12 if name == "full mixture" else 0.05, atol=0.0)
    torch.manual_seed(5)
    still = model.draw(200, 1e-9)
    if isinstance(model, Gaussian | PPCA):
        torch.testing.assert_close(still, model.mean.expand(200, -1))
    else:
        assert len((still + 0.25).round().unique(dim=0)) <= 45  # a mean or an image each; no centre ends in .25


@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_the_density_of_dequantised_images(name: str) -> None:
    data = images(45)
    model = fitted(CONFIGS[name], data)
    torch.manual_seed(7)
    scores = model.log_probability(data)
    torch.manual_seed(7)
    noisy = data.flatten(1).double() + torch.rand(45, 6, dtype=DOUBLE)
    assert torch.equal(scores, model.log_density(noisy))


@pytest.mark.parametrize("name", CONFIGS)
def test_pixels_that_never_change_are_no_trouble(name: str) -> None:
    data = images(45)
    data[:, :, 0] = 0
    model = fitted(CONFIGS[name], data)
    assert model.log_probability(data).isfinite().all()
    few = fitted(CONFIGS[name], data[:3])  # fewer images than values
    assert few.log_probability(data).isfinite().all()
