"""Kernel density: every training image spreads its share of the probability around itself by a Gaussian.

Paper: E. Parzen (1962), On estimation of a probability density function and mode.

Departures: the width is chosen by cross-validation. Kernels stand on the centres of the images' bins, and widths are
compared by the density at left-out images with dequantisation noise, which is what is scored later.

| symbol | name here |
|---|---|
| X_1 ... X_n (Eq. 1.4) | the first `num_fitted` rows of `images` |
| h(n) | `bandwidth` |
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from gen_dist.models.baseline.baseline import NOISE_MEAN, Baseline, require_images, standard_normal, watched
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.types import DataSpec

PAPER = Paper(title="On estimation of a probability density function and mode", authors="E. Parzen", year=1962)

_ROWS = 256  # images that are compared with all kernels at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelDensityConfig:
    """Settings of the estimate.

    Attributes:
        num_images: training images to keep, the first of them if there are more; a model of fewer takes as much room.
        num_left_out: images that are left out in turn to compare bandwidths.
        min_bandwidth: smallest standard deviation of a kernel that is tried, in grey levels.
        max_bandwidth: largest.
        num_bandwidths: how many are tried, in geometric progression.
    """

    num_images: int = 10_000
    num_left_out: int = 2000
    min_bandwidth: float = 0.5
    max_bandwidth: float = 64.0
    num_bandwidths: int = 29

    def __post_init__(self) -> None:
        require_images(self.num_images, least=2)
        check_at_least_one(self, "num_left_out")
        if not 0.0 < self.min_bandwidth <= self.max_bandwidth < math.inf:
            raise ValueError(
                f"model.min_bandwidth is {self.min_bandwidth}: it must be positive and no more than "
                f"model.max_bandwidth, which is {self.max_bandwidth}"
            )
        check_at_least_one(self, "num_bandwidths")

    def build(self, data: DataSpec) -> "KernelDensity":
        """An estimate over such images that is yet to be fitted."""
        return KernelDensity(self, data)


@final
class KernelDensity(Baseline):
    """A mixture of Gaussians of equal weight and width, one on each training image."""

    def __init__(self, config: KernelDensityConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.config = config
        self.images: Tensor
        self.bandwidth: Tensor
        self.register_buffer("images", torch.zeros(config.num_images, data.num_dimensions, dtype=torch.uint8))
        self.register_buffer("bandwidth", torch.ones((), dtype=torch.float64))

    def fit(self, images: UInt8[Tensor, "n d"]) -> None:
        """Keep the images, and choose the bandwidth that gives left-out ones the highest density.

        Raises:
            ValueError: there is one image only, so none can be left out.
        """
        if len(images) < 2:
            raise ValueError("there is 1 training image: a bandwidth can only be chosen by leaving one of several out")
        self.images[: len(images)].copy_(images)
        config = self.config
        ends = torch.tensor([config.min_bandwidth, config.max_bandwidth], dtype=torch.float64).log()
        candidates = torch.linspace(float(ends[0]), float(ends[1]), config.num_bandwidths, dtype=torch.float64).exp()
        candidates = candidates.to(images.device)
        scores = self.left_out_log_density(images, candidates)
        self.bandwidth.copy_(candidates[scores.argmax()])

    def left_out_log_density(
        self, images: UInt8[Tensor, "n d"], bandwidths: Float64[Tensor, " k"]
    ) -> Float64[Tensor, " k"]:
        """Mean log-density, by bandwidth, of images with noise under the kernels of all images but themselves."""
        num_left_out = min(self.config.num_left_out, len(images))
        centres = images.double() + NOISE_MEAN
        total = torch.zeros_like(bandwidths)
        num_chunks = math.ceil(num_left_out / _ROWS)
        for index in watched(num_chunks, "choosing the bandwidth, part"):
            rows = torch.arange(index * _ROWS, min(num_left_out, (index + 1) * _ROWS), device=images.device)
            values = images[rows].double()
            distances = squared_distances(values + torch.rand_like(values), centres)
            distances[rows - index * _ROWS, rows] = math.inf
            for number, bandwidth in enumerate(bandwidths):
                total[number] += kernel_log_density(distances, bandwidth, len(images) - 1, images.shape[1]).sum()
        return total / num_left_out

    def log_density(self, values: Float64[Tensor, "b d"]) -> Float64[Tensor, " b"]:
        """Log-density of dequantised images in [0, 256] (Eq. 1.4, with a Gaussian in every dimension)."""
        num_kernels, size = int(self.num_fitted), values.shape[1]
        centres = self.images[:num_kernels].double() + NOISE_MEAN
        chunks = [
            kernel_log_density(squared_distances(chunk, centres), self.bandwidth, num_kernels, size)
            for chunk in torch.split(values, _ROWS)
        ]
        return torch.cat(chunks)

    def draw(self, num: int, temperature: float) -> Float64[Tensor, "n d"]:
        """A training image each, chosen at random, plus the kernel's noise multiplied by `temperature`."""
        chosen = torch.randint(int(self.num_fitted), (num,), device=self.images.device)
        noise = standard_normal(num, self.images.shape[1], like=self.images)
        return self.images[chosen].double() + NOISE_MEAN + temperature * self.bandwidth * noise


def squared_distances(values: Float64[Tensor, "b d"], centres: Float64[Tensor, "n d"]) -> Float64[Tensor, "b n"]:
    """Between all rows. By one matrix product: in float64 what cancels is far below the smallest bandwidth."""
    lengths = values.square().sum(1, keepdim=True) + centres.square().sum(1)
    return torch.addmm(lengths, values, centres.T, alpha=-2.0).clamp(min=0.0)


def kernel_log_density(
    distances: Float64[Tensor, "b n"], bandwidth: Float64[Tensor, ""], num_kernels: int, size: int
) -> Float64[Tensor, " b"]:
    """Log of the mean of Gaussian kernels at these squared distances in `size` dimensions."""
    log_volume = size * (bandwidth.log() + 0.5 * math.log(2.0 * math.pi)) + math.log(num_kernels)
    return torch.logsumexp(-0.5 * distances / bandwidth.square(), 1) - log_volume
