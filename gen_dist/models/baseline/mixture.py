"""Gaussian mixture: images fall into groups, each a Gaussian of its own; found by k-means, then fitted by EM.

Paper: A. P. Dempster, N. M. Laird, D. B. Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
k-means is seeded as in D. Arthur, S. Vassilvitskii (2007), k-means++: the advantages of careful seeding.

Departures: EM sees images whose dequantisation noise is integrated out, so every step still raises one bound, and no
covariance can collapse. Covariances may be drawn towards that of all images, as if each group held some of them more
(C. Fraley, A. E. Raftery 2007, Bayesian regularization for normal mixture estimation and model-based clustering).

| symbol | name here |
|---|---|
| pi_k, mu_k | `weights`, `means` |
| Sigma_k = L_k L_k' | L_k is `scales`: the triangle, or its diagonal |
| E step: p(k given x) | `responsibilities` |
"""

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from gen_dist.models.baseline.baseline import (
    CHUNK,
    NOISE_MEAN,
    NOISE_VARIANCE,
    Baseline,
    moments,
    require_images,
    standard_normal,
    watched,
)
from gen_dist.models.baseline.gaussian import gaussian_log_density
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.types import DataSpec

PAPER = Paper(
    title="Maximum likelihood from incomplete data via the EM algorithm",
    authors="A. P. Dempster, N. M. Laird, D. B. Rubin",
    year=1977,
)

_KMEANS_STEPS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianMixtureConfig:
    """Settings of the mixture.

    Attributes:
        num_components: Gaussians.
        covariance: "full", or "diag" for independent pixels inside a group.
        prior_images: images that each group's covariance borrows from the covariance of all, 0 for none.
        max_steps: of EM.
        tolerance: nats per image; EM ends when a step gains less.
        num_images: training images to fit, or None for all up to 100,000.
    """

    num_components: int = 10
    covariance: Literal["full", "diag"] = "full"
    prior_images: float = 0.0
    max_steps: int = 100
    tolerance: float = 1e-3
    num_images: int | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "num_components", "max_steps")
        for name in ("prior_images", "tolerance"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"model.{name} is {value}: it must be a finite number, 0 or more")
        require_images(self.num_images)

    def build(self, data: DataSpec) -> "GaussianMixture":
        """A mixture over such images that is yet to be fitted."""
        return GaussianMixture(self, data)


@final
class GaussianMixture(Baseline):
    """Sum over k of weights_k N(means_k, scales_k scales_k')."""

    def __init__(self, config: GaussianMixtureConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.config = config
        num, size = config.num_components, data.num_dimensions
        self.weights: Tensor
        self.means: Tensor
        self.scales: Tensor
        self.register_buffer("weights", torch.full((num,), 1.0 / num, dtype=torch.float64))
        self.register_buffer("means", torch.full((num, size), 128.0, dtype=torch.float64))
        scale = torch.ones(size, dtype=torch.float64)
        scale = scale.diag() if config.covariance == "full" else scale
        self.register_buffer("scales", scale.repeat(num, *(1,) * scale.ndim))

    def fit(self, images: UInt8[Tensor, "n d"]) -> None:
        """k-means, then EM until a step gains less than the tolerance, or steps run out.

        Raises:
            ValueError: there are fewer images than Gaussians.
        """
        num = self.config.num_components
        if len(images) < num:
            raise ValueError(
                f"model.num_components is {num}: it must be no more than the {len(images)} images that are fitted"
            )
        centres = images.double() + NOISE_MEAN
        pooled = moments(images)[1]
        labels = k_means(centres, num)
        self.maximise(centres, torch.nn.functional.one_hot(labels, num).double(), pooled)
        before = -math.inf
        for _ in watched(self.config.max_steps, "fitting the Gaussian mixture, step"):
            responsibilities, bound = self.expect(centres)
            if bound - before < self.config.tolerance:
                break
            before = bound
            self.maximise(centres, responsibilities, pooled)

    def expect(
        self, centres: Float64[Tensor, "n d"], noise_variance: float = NOISE_VARIANCE
    ) -> tuple[Float64[Tensor, "n k"], float]:
        """E step: the responsibilities for images, and the bound on their mean log-density, in nats.

        The density of each Gaussian enters by its mean logarithm over the noise around `centres`,

            E log N(centre + noise; mu, Sigma) = log N(centre; mu, Sigma) - noise_variance tr(Sigma^-1) / 2,

        so a group is one decision for an image and not one for each draw of its noise.
        """
        loss = 0.5 * noise_variance * torch.stack([self._precision_trace(k) for k in range(len(self.weights))])
        joint = torch.cat([self.log_joint(chunk) - loss for chunk in torch.split(centres, CHUNK)])
        evidence = torch.logsumexp(joint, 1, keepdim=True)
        return (joint - evidence).exp(), float(evidence.mean())

    def maximise(
        self,
        centres: Float64[Tensor, "n d"],
        responsibilities: Float64[Tensor, "n k"],
        pooled: Float64[Tensor, "d d"],
        noise_variance: float = NOISE_VARIANCE,
    ) -> None:
        """M step: weights, means and covariances of images shared out by responsibility."""
        prior = self.config.prior_images
        for k, share in enumerate(responsibilities.T):
            count = share.sum().clamp(min=1e-12)  # a group that lost all its images keeps a density
            mean = share @ centres / count
            centred = (centres - mean) * share.sqrt()[:, None]
            if self.config.covariance == "full":
                covariance = centred.T @ centred / count
                covariance.diagonal().add_(noise_variance)
                covariance = (count * covariance + prior * pooled) / (count + prior)
                self.scales[k] = torch.linalg.cholesky(covariance)
            else:
                variance = centred.square().sum(0) / count + noise_variance
                self.scales[k] = ((count * variance + prior * pooled.diagonal()) / (count + prior)).sqrt()
            self.means[k] = mean
            self.weights[k] = count / len(centres)

    def log_joint(self, values: Float64[Tensor, "b d"]) -> Float64[Tensor, "b k"]:
        """Log of weights_k N(value; means_k, ...) for every value and Gaussian."""
        return torch.stack([self._component(values, k) for k in range(len(self.weights))], 1) + self.weights.log()

    def log_density(self, values: Float64[Tensor, "b d"]) -> Float64[Tensor, " b"]:
        """Log-density of dequantised images in [0, 256]."""
        return torch.logsumexp(self.log_joint(values), 1)

    def draw(self, num: int, temperature: float) -> Float64[Tensor, "n d"]:
        """A Gaussian each, chosen by weight, then a draw with standard deviations multiplied by `temperature`."""
        chosen = torch.multinomial(self.weights, num, replacement=True)
        noise = temperature * standard_normal(num, self.means.shape[1], like=self.means)
        values = self.means[chosen]
        for k, scale in enumerate(self.scales):
            mine = chosen == k
            values[mine] += noise[mine] @ scale.T if scale.ndim == 2 else noise[mine] * scale
        return values

    def _component(self, values: Float64[Tensor, "b d"], k: int) -> Float64[Tensor, " b"]:
        mean, scale = self.means[k], self.scales[k]
        if scale.ndim == 2:
            return gaussian_log_density(values, mean, scale)
        standardised = (values - mean) / scale
        normalisation = scale.log().sum() + 0.5 * len(mean) * math.log(2.0 * math.pi)
        return -0.5 * standardised.square().sum(1) - normalisation

    def _precision_trace(self, k: int) -> Float64[Tensor, ""]:
        """tr(Sigma_k^-1)."""
        scale = self.scales[k]
        if scale.ndim == 1:
            return scale.square().reciprocal().sum()
        identity = torch.eye(len(scale), dtype=scale.dtype, device=scale.device)
        trace: Tensor = torch.linalg.solve_triangular(scale, identity, upper=False).square().sum()
        return trace


def k_means(values: Float64[Tensor, "n d"], num: int) -> torch.Tensor:
    """The number of the nearest of `num` centres for each row, after Lloyd's iteration from a k-means++ start."""
    centres = values[torch.randint(len(values), (1,), device=values.device)]
    nearest = _squared_distances(values, centres)[:, 0]
    for _ in range(num - 1):
        # Far rows are likely to become centres; where no row is far (all are alike) any will do.
        chances = nearest if bool(nearest.sum() > 0.0) else torch.ones_like(nearest)
        chosen = torch.multinomial(chances, 1)
        centres = torch.cat([centres, values[chosen]])
        nearest = torch.minimum(nearest, _squared_distances(values, values[chosen])[:, 0])
    labels = torch.full((len(values),), -1, device=values.device)
    for _ in watched(_KMEANS_STEPS, "k-means, step"):
        before, labels = labels, _squared_distances(values, centres).argmin(1)
        if torch.equal(before, labels):
            break
        members = torch.nn.functional.one_hot(labels, num).to(values.dtype)
        counts = members.sum(0)[:, None]
        centres = torch.where(counts > 0.0, members.T @ values / counts.clamp(min=1.0), centres)
    return labels


def _squared_distances(values: Float64[Tensor, "n d"], centres: Float64[Tensor, "k d"]) -> Float64[Tensor, "n k"]:
    return torch.cdist(values, centres).square()
