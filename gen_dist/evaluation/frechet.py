"""The Fréchet distance between two sets of features, each summed up by a Gaussian.

Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"
(arXiv:1706.08500); Dowson and Landau 1982 for the closed form.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Mean and unbiased covariance of a set of features, in float64."""

    mean: Float64[Tensor, " f"]
    covariance: Float64[Tensor, "f f"]


def feature_statistics(features: Float[Tensor, "n f"]) -> FeatureStatistics:
    """Mean and covariance (denominator n - 1) of a set of features.

    Raises:
        ValueError: there are fewer than two rows.
    """
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 images, not {len(features)}")
    features = features.double()
    return FeatureStatistics(features.mean(dim=0), torch.cov(features.T).reshape(features.shape[1], features.shape[1]))


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Squared 2-Wasserstein distance of two Gaussians: |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½).

    tr (C1 C2)^½ is the sum of the square roots of the eigenvalues of C1^½ C2 C1^½, a symmetric matrix: so no complex
    root appears, and covariances may be singular.
    """
    root = _symmetric_root(first.covariance)
    product = root @ second.covariance @ root
    cross = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
    means = (first.mean - second.mean).square().sum()
    distance = means + first.covariance.trace() + second.covariance.trace() - 2 * cross
    return max(0.0, float(distance))


def _symmetric_root(matrix: Float64[Tensor, "f f"]) -> Float64[Tensor, "f f"]:
    values, vectors = torch.linalg.eigh(matrix)
    root: Float64[Tensor, "f f"] = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root
