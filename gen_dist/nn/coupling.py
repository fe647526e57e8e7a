"""Invertible layers with cheap Jacobian determinants. Each maps to (output, log-determinant per image) and back."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-5  # added to variances


def checkerboard_mask(height: int, width: int, *, invert: bool) -> Float[Tensor, "1 1 h w"]:
    """1 where a pixel passes unchanged (arXiv:1605.08803, Fig. 3, left).

    plain          inverted
    0 1 0 1        1 0 1 0
    1 0 1 0        0 1 0 1
    0 1 0 1        1 0 1 0
    """
    parity = (torch.arange(height)[:, None] + torch.arange(width)) % 2
    return ((1 - parity) if invert else parity).to(torch.get_default_dtype())[None, None]


def channel_mask(channels: int, *, invert: bool) -> Float[Tensor, "1 c 1 1"]:
    """1 where a channel passes unchanged: the second half, or the first when inverted (Fig. 3, right)."""
    second = torch.arange(channels) >= channels // 2
    return (~second if invert else second).to(torch.get_default_dtype())[None, :, None, None]


@final
class CouplingNetwork(nn.Module):
    """A small residual network to a scale and a shift for every value."""

    def __init__(self, channels: int, hidden: int, num_blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, hidden, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, hidden, 1))
            for _ in range(num_blocks)
        )
        self.leave = nn.Conv2d(hidden, 2 * channels, 3, padding=1)
        # Near zero, so that a fresh flow is close to the identity; not at zero, so that every weight learns at once.
        for parameter in self.leave.parameters():
            nn.init.normal_(parameter, std=1e-3)

    def forward(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b cc h w"]:
        """Raw scale and shift, one after the other in the channels."""
        hidden = self.enter(values)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        output: Tensor = self.leave(F.relu(hidden))
        return output


@final
class AffineCoupling(nn.Module):
    """One part of the values is scaled and shifted by functions of the other part (arXiv:1605.08803, Eq. 9).

    The log-scale is bounded by `max_log_scale` through a tanh, so one layer can't overflow whatever its network says.
    """

    def __init__(
        self, mask: Float[Tensor, "1 mc mh mw"], channels: int, *, hidden: int, num_blocks: int, max_log_scale: float
    ) -> None:
        super().__init__()
        self.network = CouplingNetwork(channels, hidden, num_blocks)
        self.max_log_scale = max_log_scale
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Output and log-determinant."""
        log_scale, shift = self._scale_and_shift(values)
        return values * torch.exp(log_scale) + shift, log_scale.flatten(1).sum(1)

    def inverse(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values that `forward` maps here."""
        log_scale, shift = self._scale_and_shift(values)  # of the part that passes unchanged, so the same
        return (values - shift) * torch.exp(-log_scale)

    def _scale_and_shift(self, values: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.network(values * self.mask).to(values.dtype).chunk(2, dim=1)
        log_scale = self.max_log_scale * torch.tanh(raw / self.max_log_scale)
        return log_scale * (1.0 - self.mask), shift * (1.0 - self.mask)


@final
class ActNorm(nn.Module):
    """A learned scale and shift per channel, started from data (Kingma and Dhariwal 2018, arXiv:1807.03039)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Output and log-determinant."""
        num_pixels = values.shape[2] * values.shape[3]
        output = (values + _per_channel(self.shift)) * torch.exp(_per_channel(self.log_scale))
        return output, (num_pixels * self.log_scale.sum()).expand(len(values))

    def inverse(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values that `forward` maps here."""
        return values * torch.exp(-_per_channel(self.log_scale)) - _per_channel(self.shift)

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "b c h w"]) -> None:
        """Choose scale and shift so that every channel of these values comes out with mean 0 and variance 1."""
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-0.5 * torch.log(variance + EPSILON))


@final
class FlowBatchNorm(nn.Module):
    """Batch norm as an invertible layer (arXiv:1605.08803, Sec. 3.7): batch statistics only in training."""

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.running_mean: Tensor
        self.running_variance: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Output and log-determinant."""
        mean, variance = self.running_mean, self.running_variance
        if self.training:
            variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                self.running_variance.lerp_(variance.to(self.running_variance.dtype), self.momentum)
        log_scale = -0.5 * torch.log(variance + EPSILON)
        num_pixels = values.shape[2] * values.shape[3]
        output = (values - _per_channel(mean)) * torch.exp(_per_channel(log_scale))
        return output, (num_pixels * log_scale.sum()).expand(len(values))

    def inverse(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values that `forward` maps here in evaluation mode."""
        scale = torch.sqrt(self.running_variance + EPSILON)
        return values * _per_channel(scale) + _per_channel(self.running_mean)

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "b c h w"]) -> None:
        """Take the running statistics from these values."""
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        self.running_mean.copy_(mean)
        self.running_variance.copy_(variance)


def _per_channel(values: Tensor) -> Tensor:
    return values[:, None, None]
