"""RealNVP: an invertible network of affine coupling layers that maps images to Gaussian noise, so density is exact.

Paper: L. Dinh, J. Sohl-Dickstein, S. Bengio (2017), Density estimation using Real NVP, arXiv:1605.08803.

Departures: act norm (Kingma and Dhariwal 2018, arXiv:1807.03039) by default, batch norm as an option; the log-scale of
a coupling is bounded by a fixed number instead of a learned one; no batch or weight norm inside coupling networks; the
logit transform keeps `alpha` free on both sides of (0, 1).

| symbol | name here |
|---|---|
| f(x), z (Eq. 2) | `transform` |
| b (Eq. 9) | `mask` of a coupling |
| s, t (Eq. 5) | bounded `log_scale`, `shift` |
| h(i), factored-out latents (Eq. 13-16) | parts of the latent vector, finest scale first (`Scales`) |
| alpha (Sec. 4.1) | `alpha` |
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.models.checks import check_at_least_one
from gen_dist.models.flow.flow import Flow
from gen_dist.models.paper import Paper
from gen_dist.nn.coupling import ActNorm, AffineCoupling, FlowBatchNorm, channel_mask, checkerboard_mask
from gen_dist.nn.multiscale import Scales, fitting
from gen_dist.nn.squeeze import Squeeze
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

PAPER = Paper(
    title="Density estimation using Real NVP",
    authors="L. Dinh, J. Sohl-Dickstein, S. Bengio",
    year=2017,
    arxiv="1605.08803",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class RealNVPConfig:
    """Settings of the flow.

    Attributes:
        scales: number of scales; an image whose sides can't be halved so often gets fewer.
        hidden: feature maps of the coupling networks.
        double_hidden: twice as many after each squeeze, as in the paper.
        num_blocks: residual blocks of each coupling network.
        max_log_scale: bound of one coupling's log-scale.
        normalization: "act" (started from data) or "batch".
        alpha: images are squeezed into [alpha, 1 - alpha] before the logit.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    scales: int = 2
    hidden: int = 32
    double_hidden: bool = False
    num_blocks: int = 2
    max_log_scale: float = 2.0
    normalization: Literal["act", "batch"] = "act"
    alpha: float = 0.05
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "scales", "hidden")
        if self.num_blocks < 0:
            raise ValueError(f"model.num_blocks is {self.num_blocks}: it must be 0 or more")
        if not (math.isfinite(self.max_log_scale) and self.max_log_scale > 0.0):
            raise ValueError(f"model.max_log_scale is {self.max_log_scale}: it must be a positive, finite number")
        if not 0.0 < self.alpha < 0.5:
            raise ValueError(f"model.alpha is {self.alpha}: it must lie between 0 and 0.5")

    def build(self, data: DataSpec) -> "RealNVP":
        """A freshly initialised flow on such images."""
        return RealNVP(self, data)


def _scale(
    config: RealNVPConfig, channels: int, height: int, width: int, hidden: int, *, last: bool
) -> list[nn.Module]:
    """Three checkerboard couplings, squeeze, three channel couplings; at the last scale four checkerboard couplings."""
    steps: list[nn.Module] = []
    for index in range(4 if last else 3):
        mask = checkerboard_mask(height, width, invert=index % 2 == 1)
        steps += _normalised_coupling(config, mask, channels, hidden)
    if not last:
        channels, hidden = 4 * channels, _squeezed(config, hidden)
        steps.append(Squeeze())
        for index in range(3):
            steps += _normalised_coupling(config, channel_mask(channels, invert=index % 2 == 1), channels, hidden)
    return steps


def _squeezed(config: RealNVPConfig, hidden: int) -> int:
    """Feature maps after a squeeze."""
    return 2 * hidden if config.double_hidden else hidden


def _normalised_coupling(config: RealNVPConfig, mask: Tensor, channels: int, hidden: int) -> list[nn.Module]:
    normalization = ActNorm(channels) if config.normalization == "act" else FlowBatchNorm(channels)
    coupling = AffineCoupling(
        mask, channels, hidden=hidden, num_blocks=config.num_blocks, max_log_scale=config.max_log_scale
    )
    return [normalization, coupling]


@final
class RealNVP(Flow):
    """Scales of couplings; after each but the last, half of the channels leave as latents (Eq. 13)."""

    def __init__(self, config: RealNVPConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.config = config
        channels, height, width = data.shape
        hidden = config.hidden
        latent_shapes: list[tuple[int, int, int]] = []
        scales: list[list[nn.Module]] = []
        for index in range(config.scales):
            last = index == config.scales - 1 or height % 2 == 1 or width % 2 == 1
            scales.append(_scale(config, channels, height, width, hidden, last=last))
            if last:
                latent_shapes.append((channels, height, width))
                break
            channels, height, width, hidden = 2 * channels, height // 2, width // 2, _squeezed(config, hidden)
            latent_shapes.append((channels, height, width))
        self.scales = Scales(scales, latent_shapes)

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Start every act norm from the batch."""
        with fitting(self, ActNorm):
            self.log_density(self.dequantise(batch.images))

    @torch.no_grad()
    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Take batch-norm statistics from training images, layer by layer."""
        if self.config.normalization == "batch" and batches:
            images = torch.cat([batch.images for batch in batches])
            with fitting(self, FlowBatchNorm):
                self.log_density(self.dequantise(images))

    def transform(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, " b"]]:
        """Latents of logits, and the log-determinant of the Jacobian (Eq. 3)."""
        latents, log_determinant = self.scales(values)
        return latents, log_determinant

    def inverse(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """The logits that `transform` maps to these latents."""
        return self.scales.inverse(latents)
