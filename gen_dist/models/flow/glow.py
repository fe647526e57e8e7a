"""Glow: scales of act norm, an invertible 1x1 convolution that mixes channels, and affine coupling.

Paper: D. P. Kingma, P. Dhariwal (2018), Glow: Generative Flow with Invertible 1x1 Convolutions, arXiv:1807.03039.

Departures: the log-scale of a coupling is bounded from both sides by a tanh, where the published code has
log sigmoid(. + 2), which is unbounded below; the last convolution of a coupling starts near zero and not at zero, and
has no learned output scale; act norm is folded into the convolution before or after it; `pixel_scale` "logit" is
offered beside the paper's linear scale. The learned prior of the published code is written as further invertible
layers, so latents are always standard normal.

| symbol | name here |
|---|---|
| L, K (Fig. 2) | `scales`, `steps` |
| s, b of act norm (Table 1) | `exp(log_scale)`, `shift` of `ActNorm`, with the shift first |
| W = P L (U + diag(s)) (Eq. 10) | `InvertibleConvolution` |
| NN (Table 1) | `_coupling_network` |
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.models.checks import check_at_least_one
from gen_dist.models.flow.flow import Flow, PixelScale
from gen_dist.models.paper import Paper
from gen_dist.nn.channel_coupling import ActNormConvolution, ChannelCoupling, near_zero_convolution
from gen_dist.nn.coupling import ActNorm
from gen_dist.nn.invertible_convolution import InvertibleConvolution, full_precision
from gen_dist.nn.multiscale import Scales, fitting
from gen_dist.nn.squeeze import Squeeze
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

PAPER = Paper(
    title="Glow: Generative Flow with Invertible 1x1 Convolutions",
    authors="D. P. Kingma, P. Dhariwal",
    year=2018,
    arxiv="1807.03039",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class GlowConfig:
    """Settings of the flow.

    Attributes:
        scales: number of scales (L); an image whose sides can't be halved so often gets fewer.
        steps: steps of each scale (K).
        hidden: feature maps of the coupling networks.
        max_log_scale: bound of one coupling's log-scale.
        learned_prior: latents that leave early are scaled and shifted given those that stay; the last ones by
            learned numbers per channel.
        pixel_scale: "logit", or "linear" for pixels scaled to [-1, 1], as in the paper.
        alpha: images are squeezed into [alpha, 1 - alpha] before the logit.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    scales: int = 3
    steps: int = 32
    hidden: int = 512
    max_log_scale: float = 2.0
    learned_prior: bool = True
    pixel_scale: PixelScale = "linear"
    alpha: float = 0.05
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "scales", "steps", "hidden")
        if not (math.isfinite(self.max_log_scale) and self.max_log_scale > 0.0):
            raise ValueError(f"model.max_log_scale is {self.max_log_scale}: it must be a positive, finite number")
        if not 0.0 < self.alpha < 0.5:
            raise ValueError(f"model.alpha is {self.alpha}: it must lie between 0 and 0.5")

    def build(self, data: DataSpec) -> "Glow":
        """A freshly initialised flow on such images; ValueError when height or width is odd."""
        if data.height % 2 or data.width % 2:
            raise ValueError(f"images are {data.height} x {data.width}: Glow halves both sides, so they must be even")
        return Glow(self, data)


def _coupling_network(channels: int, hidden: int) -> nn.Sequential:
    """3x3, 1x1 and 3x3 convolutions; both hidden layers have act norm and ReLU (Sec. 4)."""
    return nn.Sequential(
        ActNormConvolution(channels // 2, hidden, 3),
        nn.ReLU(),
        ActNormConvolution(hidden, hidden, 1),
        nn.ReLU(),
        near_zero_convolution(hidden, channels),
    )


@final
class GlowStep(nn.Module):
    """Act norm, invertible 1x1 convolution, affine coupling (Fig. 2a); the first two as one convolution."""

    def __init__(self, channels: int, config: GlowConfig) -> None:
        super().__init__()
        self.normalization = ActNorm(channels)
        self.convolution = InvertibleConvolution(channels)
        self.coupling = ChannelCoupling(_coupling_network(channels, config.hidden), max_log_scale=config.max_log_scale)

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Output and log-determinant."""
        with full_precision(values):
            weight = self.convolution.weight * torch.exp(self.normalization.log_scale)
            mixed = F.conv2d(values, weight[:, :, None, None], weight @ self.normalization.shift)
            at_one_pixel = (self.normalization.log_scale + self.convolution.log_scale).sum()
        output, log_determinant = self.coupling(mixed)
        return output, log_determinant + values.shape[2] * values.shape[3] * at_one_pixel

    def inverse(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values that `forward` maps here."""
        return self.normalization.inverse(self.convolution.inverse(self.coupling.inverse(values)))

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "b c h w"]) -> None:
        """Start the act norm from these values."""
        self.normalization.fit(values)


@final
class Glow(Flow):
    """Scales of a squeeze and K steps; after each scale but the last, half of the channels leave as latents."""

    def __init__(self, config: GlowConfig, data: DataSpec) -> None:
        super().__init__(config, data, pixel_scale=config.pixel_scale)
        self.config = config
        channels, height, width = data.shape
        shapes: list[tuple[int, int, int]] = []
        scales: list[Sequence[nn.Module]] = []
        for index in range(config.scales):
            channels, height, width = 4 * channels, height // 2, width // 2
            last = index == config.scales - 1 or height % 2 == 1 or width % 2 == 1
            steps = [GlowStep(channels, config) for _ in range(config.steps)]
            scales.append([Squeeze(), *steps, *_prior(config, channels, last=last)])
            if last:
                shapes.append((channels, height, width))
                break
            channels //= 2
            shapes.append((channels, height, width))
        self.scales = Scales(scales, shapes)

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Start every act norm from the batch, those inside the coupling networks too."""
        with fitting(self, GlowStep, ActNormConvolution):
            self.log_density(self.dequantise(batch.images))

    def transform(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, " b"]]:
        """Latents, finest scale first, and the log-determinant of the Jacobian (Eq. 6)."""
        latents, log_determinant = self.scales(values)
        return latents, log_determinant

    def inverse(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """The values that `transform` maps to these latents."""
        return self.scales.inverse(latents)


def _prior(config: GlowConfig, channels: int, *, last: bool) -> list[nn.Module]:
    """What turns the learned Gaussian prior of a scale's latents into a standard one.

    A Gaussian with mean and scale given what stays is a coupling of what leaves (the first half of the channels).
    """
    if not config.learned_prior:
        return []
    if last:
        return [ActNorm(channels)]
    return [ChannelCoupling(near_zero_convolution(channels // 2, channels), max_log_scale=config.max_log_scale)]
