"""A Gaussian with full covariance over all pixels: what can be known of images from their means and correlations.

Paper: T. W. Anderson (2003), An introduction to multivariate statistical analysis, Theorem 3.2.1.

Departures: it is fitted to dequantised images, which adds 1/12 to every variance; so the covariance can be inverted
however few the images are, and for pixels that never change.

| symbol | name here |
|---|---|
| mu | `mean` |
| Sigma = L L' | L is `scale_tril` |
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from gen_dist.models.baseline.baseline import Baseline, moments, require_images, standard_normal
from gen_dist.models.paper import Paper
from gen_dist.types import DataSpec

PAPER = Paper(title="An introduction to multivariate statistical analysis", authors="T. W. Anderson", year=2003)


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianConfig:
    """Settings of the Gaussian.

    Attributes:
        num_images: training images to fit, or None for all up to 100,000.
    """

    num_images: int | None = None

    def __post_init__(self) -> None:
        require_images(self.num_images)

    def build(self, data: DataSpec) -> "Gaussian":
        """A Gaussian over such images that is yet to be fitted."""
        return Gaussian(self, data)


@final
class Gaussian(Baseline):
    """N(mean, scale_tril scale_tril')."""

    def __init__(self, config: GaussianConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.config = config
        size = data.num_dimensions
        self.mean: Tensor
        self.scale_tril: Tensor
        self.register_buffer("mean", torch.full((size,), 128.0, dtype=torch.float64))
        self.register_buffer("scale_tril", torch.eye(size, dtype=torch.float64))

    def fit(self, images: UInt8[Tensor, "n d"]) -> None:
        """Maximum likelihood: the moments of the dequantised images."""
        mean, covariance = moments(images)
        self.mean.copy_(mean)
        self.scale_tril.copy_(torch.linalg.cholesky(covariance))

    def log_density(self, values: Float64[Tensor, "b d"]) -> Float64[Tensor, " b"]:
        """Log-density of dequantised images in [0, 256]."""
        return gaussian_log_density(values, self.mean, self.scale_tril)

    def draw(self, num: int, temperature: float) -> Float64[Tensor, "n d"]:
        """Draws with standard deviations multiplied by `temperature`."""
        noise = standard_normal(num, len(self.mean), like=self.mean)
        return self.mean + temperature * noise @ self.scale_tril.T


def gaussian_log_density(
    values: Float64[Tensor, "b d"], mean: Float64[Tensor, " d"], scale_tril: Float64[Tensor, "d d"]
) -> Float64[Tensor, " b"]:
    """Log-density of each row under N(mean, scale_tril scale_tril')."""
    standardised = torch.linalg.solve_triangular(scale_tril, (values - mean).T, upper=False)
    log_determinant = scale_tril.diagonal().log().sum()
    density: Tensor = -0.5 * standardised.square().sum(0) - log_determinant - 0.5 * len(mean) * math.log(2.0 * math.pi)
    return density
