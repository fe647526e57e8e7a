"""Frechet and kernel distance against closed forms, torchmetrics and their own definitions."""

import math

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from gen_dist.evaluation.frechet import FeatureStatistics, feature_statistics, frechet_distance
from gen_dist.evaluation.kernel import ROWS_PER_BLOCK, KernelDistance


def gaussian(mean: Tensor, covariance: Tensor) -> FeatureStatistics:
    return FeatureStatistics(mean.double(), covariance.double())


def skewed(num: int, num_features: int, seed: int) -> Tensor:
    """Correlated, one-sided features, as a network's last layer gives."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(num_features, num_features, generator=generator, dtype=torch.float64)
    return (torch.randn(num, num_features, generator=generator, dtype=torch.float64) @ mixing + 0.3 * seed).relu()


def test_frechet_distance_of_gaussians_with_diagonal_covariance() -> None:
    """Independent dimensions add (m1 - m2)^2 + (s1 - s2)^2 each."""
    first = gaussian(torch.tensor([0.0, 1.0, 2.0]), torch.diag(torch.tensor([1.0, 4.0, 9.0])))
    second = gaussian(torch.tensor([1.0, 1.0, 0.0]), torch.diag(torch.tensor([4.0, 4.0, 1.0])))
    assert frechet_distance(first, second) == pytest.approx((1 + 1) + (0 + 0) + (4 + 4), rel=1e-12)


def test_frechet_distance_of_correlated_gaussians() -> None:
    """For 2 x 2 covariances tr (AB)^½ = (tr AB + 2 (det A det B)^½)^½."""
    first = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    second = torch.tensor([[1.0, -0.5], [-0.5, 3.0]], dtype=torch.float64)
    cross = math.sqrt(float((first @ second).trace() + 2 * (first.det() * second.det()).sqrt()))
    expected = 0.25 + float(first.trace() + second.trace()) - 2 * cross
    distance = frechet_distance(gaussian(torch.zeros(2), first), gaussian(torch.tensor([0.5, 0.0]), second))
    assert distance == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_survives_singular_covariances() -> None:
    """Fewer images than features: both covariances have rank 4 of 10, and orthogonal supports add their traces."""
    first, second = torch.zeros(5, 10), torch.zeros(5, 10)
    first[:, :5], second[:, 5:] = torch.eye(5), torch.eye(5)
    first_statistics, second_statistics = feature_statistics(first), feature_statistics(second)
    expected = 10 * 0.2**2 + 2 * float(first_statistics.covariance.trace())
    assert frechet_distance(first_statistics, second_statistics) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(first_statistics, first_statistics) == pytest.approx(0.0, abs=1e-7)  # root of the rounding


def test_frechet_distance_of_images_that_are_all_equal() -> None:
    """A collapsed generator has no covariance: what is left is the data's spread and the means."""
    data = feature_statistics(skewed(200, 6, seed=1))
    collapsed = feature_statistics(torch.ones(50, 6))
    expected = float((data.mean - 1).square().sum() + data.covariance.trace())
    assert frechet_distance(collapsed, data) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_is_symmetric_and_ignores_order_and_rotation() -> None:
    first, second = skewed(300, 8, seed=1), skewed(250, 8, seed=2)
    rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q
    distance = frechet_distance(feature_statistics(first), feature_statistics(second))
    assert distance > 0.1
    for changed in (
        frechet_distance(feature_statistics(second), feature_statistics(first)),
        frechet_distance(feature_statistics(first[torch.randperm(300)]), feature_statistics(second)),
        frechet_distance(feature_statistics(first @ rotation), feature_statistics(second @ rotation)),
    ):
        assert changed == pytest.approx(distance, rel=1e-9)  # float64, a few hundred operations


class Identity(nn.Module):
    num_features = 12

    def forward(self, features: Tensor) -> Tensor:
        return features


def test_frechet_distance_agrees_with_torchmetrics() -> None:
    first, second = skewed(400, 12, seed=1), skewed(300, 12, seed=2)
    reference = FrechetInceptionDistance(feature=Identity()).set_dtype(torch.float64)
    reference.update(first, real=True)
    reference.update(second, real=False)
    ours = frechet_distance(feature_statistics(first), feature_statistics(second))
    assert ours == pytest.approx(float(reference.compute()), rel=1e-8)  # torchmetrics sums squares before it centres


def test_kernel_distance_agrees_with_torchmetrics() -> None:
    first, second = skewed(120, 7, seed=1), skewed(120, 7, seed=2)
    assert KernelDistance(first)(second) == pytest.approx(float(poly_mmd(second, first)), rel=1e-9)


def test_kernel_distance_by_hand_with_sets_of_different_size() -> None:
    """Two features: k(x, y) = (x·y / 2 + 1)³."""
    reference = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    samples = torch.tensor([[2.0, 0.0], [2.0, 2.0]])
    within_reference = 1.0  # all three pairs are orthogonal: 1³
    within_samples = 3.0**3  # (4 / 2 + 1)³
    across = (1 + 27 + 1 + 1 + 27 + 27) / 6
    expected = within_reference + within_samples - 2 * across
    assert KernelDistance(reference)(samples) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased_at_any_size() -> None:
    """On equal distributions its mean over many draws is zero, although each set has only 10 images."""
    generator = torch.Generator().manual_seed(0)
    estimates = [
        KernelDistance(torch.randn(10, 4, generator=generator))(torch.randn(15, 4, generator=generator))
        for _ in range(600)
    ]
    values = torch.tensor(estimates)
    error = float(values.std() / math.sqrt(len(values)))
    assert abs(float(values.mean())) < 4 * error  # four standard errors: a biased estimate (diagonal kept) is 20 away
    assert float(values.min()) < 0 < float(values.max())


def test_kernel_distance_does_not_depend_on_blocks() -> None:
    features, samples = skewed(ROWS_PER_BLOCK + 17, 5, seed=1), skewed(2 * ROWS_PER_BLOCK + 3, 5, seed=2)
    kernel = lambda first, second: (first @ second.T / 5 + 1) ** 3  # noqa: E731
    num, other = len(features), len(samples)
    within = [(k.sum() - k.diagonal().sum()) / (n * (n - 1)) for n, k in
              ((num, kernel(features, features)), (other, kernel(samples, samples)))]  # fmt: skip
    expected = float(sum(within) - 2 * kernel(features, samples).mean())
    assert KernelDistance(features)(samples) == pytest.approx(expected, rel=1e-9)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        feature_statistics(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="at least 2 images on either side, not 1"):
        KernelDistance(torch.zeros(4, 3))(torch.zeros(1, 3))
