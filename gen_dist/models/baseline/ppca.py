"""Probabilistic PCA: images are a linear map of a few Gaussian latents, plus noise that is alike in every pixel.

Paper: M. E. Tipping, C. M. Bishop (1999), Probabilistic principal component analysis.

Departures: it is fitted to dequantised images, which adds 1/12 to every variance.

| symbol | name here |
|---|---|
| t, mu (Eq. 2) | dequantised image, `mean` |
| W = U_q (Lambda_q - sigma^2 I)^1/2 (Eq. 7, with R = I) | U_q `directions`, diagonal of Lambda_q `variances` |
| sigma^2 (Eq. 8) | `noise_variance` |
| q | `latent_dim` |
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from gen_dist.models.baseline.baseline import Baseline, moments, require_images, standard_normal
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.types import DataSpec

PAPER = Paper(title="Probabilistic principal component analysis", authors="M. E. Tipping, C. M. Bishop", year=1999)


@dataclass(frozen=True, kw_only=True, slots=True)
class PPCAConfig:
    """Settings of the model.

    Attributes:
        latent_dim: number of latents; must be less than an image has values.
        num_images: training images to fit, or None for all up to 100,000.
    """

    latent_dim: int = 32
    num_images: int | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "latent_dim")
        require_images(self.num_images)

    def build(self, data: DataSpec) -> "PPCA":
        """A model of such images that is yet to be fitted.

        Raises:
            ValueError: there are as many latents as values.
        """
        return PPCA(self, data)


@final
class PPCA(Baseline):
    """N(mean, W W' + noise_variance I), in the eigenvectors of that covariance."""

    def __init__(self, config: PPCAConfig, data: DataSpec) -> None:
        if config.latent_dim >= data.num_dimensions:
            raise ValueError(
                f"model.latent_dim is {config.latent_dim}: it must be less than the {data.num_dimensions} values of an "
                "image, or nothing is left for the noise"
            )
        super().__init__(config, data)
        self.config = config
        size, latent_dim = data.num_dimensions, config.latent_dim
        self.mean: Tensor
        self.directions: Tensor
        self.variances: Tensor
        self.noise_variance: Tensor
        self.register_buffer("mean", torch.full((size,), 128.0, dtype=torch.float64))
        self.register_buffer("directions", torch.eye(size, latent_dim, dtype=torch.float64))
        self.register_buffer("variances", torch.ones(latent_dim, dtype=torch.float64))
        self.register_buffer("noise_variance", torch.ones((), dtype=torch.float64))

    def fit(self, images: UInt8[Tensor, "n d"]) -> None:
        """Maximum likelihood by the eigenvectors of the covariance (Eq. 7 and 8)."""
        mean, covariance = moments(images)
        variances, directions = torch.linalg.eigh(covariance)  # ascending
        latent_dim = self.config.latent_dim
        self.mean.copy_(mean)
        self.directions.copy_(directions[:, -latent_dim:].flip(1))
        self.variances.copy_(variances[-latent_dim:].flip(0))
        self.noise_variance.copy_(variances[:-latent_dim].mean())

    @property
    def weight(self) -> Float64[Tensor, "d z"]:
        """W (Eq. 7), from latents to images; rounding may not make a variance smaller than the noise's."""
        return self.directions * (self.variances - self.noise_variance).clamp(min=0.0).sqrt()

    def log_density(self, values: Float64[Tensor, "b d"]) -> Float64[Tensor, " b"]:
        """Log-density of dequantised images in [0, 256] (Eq. 4, with the inverse in the covariance's eigenvectors)."""
        centred = values - self.mean
        inside = centred @ self.directions
        outside = centred - inside @ self.directions.T
        distance = (inside.square() / self.variances).sum(1) + outside.square().sum(1) / self.noise_variance
        size, latent_dim = self.directions.shape
        log_determinant = self.variances.log().sum() + (size - latent_dim) * self.noise_variance.log()
        return -0.5 * (distance + log_determinant + size * math.log(2.0 * math.pi))

    def draw(self, num: int, temperature: float) -> Float64[Tensor, "n d"]:
        """Draws with latents and noise multiplied by `temperature`."""
        noise = standard_normal(num, len(self.mean), like=self.mean) * self.noise_variance.sqrt()
        return self.mean + temperature * (self.draw_latents(num) @ self.weight.T + noise)

    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float64[Tensor, "b z"]:
        """The mean of p(latents given the image at the centres of its bins): M^-1 W'(t - mu) (Sec. 3.3)."""
        centred = images.flatten(1).double() + 0.5 - self.mean
        # In the eigenvectors M = W'W + sigma^2 I is the diagonal matrix of the variances.
        return centred @ (self.weight / self.variances)

    @torch.no_grad()
    def draw_latents(self, num: int) -> Float64[Tensor, "n z"]:
        """Draws from the standard normal."""
        return standard_normal(num, self.config.latent_dim, like=self.mean)

    @torch.no_grad()
    def decode(self, latents: Float64[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The mean image of these latents, without the noise of the pixels."""
        return self.to_images(self.mean + latents.double() @ self.weight.T)
