"""Affine coupling between the two halves of the channels, which are sliced and not masked."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.coupling import EPSILON

INITIAL_STD = 1e-3  # of a last layer: a fresh flow is close to the identity, and yet every weight learns at once


@final
class ChannelCoupling(nn.Module):
    """The first half of the channels is scaled and shifted by functions of the second (arXiv:1807.03039, Table 1).

    The log-scale is bounded by `max_log_scale` through a tanh, as in `AffineCoupling`.

    Args:
        network: maps the second half to a raw scale and a shift for each channel of the first.
        max_log_scale: the bound.
    """

    def __init__(self, network: nn.Module, *, max_log_scale: float) -> None:
        super().__init__()
        self.network = network
        self.max_log_scale = max_log_scale

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Output and log-determinant."""
        first, second = values.chunk(2, dim=1)
        log_scale, shift = self._scale_and_shift(second)
        return torch.cat([torch.addcmul(shift, first, torch.exp(log_scale)), second], dim=1), log_scale.sum((1, 2, 3))

    def inverse(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values that `forward` maps here."""
        first, second = values.chunk(2, dim=1)
        log_scale, shift = self._scale_and_shift(second)
        return torch.cat([(first - shift) * torch.exp(-log_scale), second], dim=1)

    def _scale_and_shift(self, second: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.network(second).to(second.dtype).chunk(2, dim=1)
        return self.max_log_scale * torch.tanh(raw / self.max_log_scale), shift


@final
class ActNormConvolution(nn.Module):
    """A convolution and then an act norm, in one: the act norm is folded into the kernel, which is the smaller tensor.

    (W * x + shift) exp(log_scale) = (W exp(log_scale)) * x + shift exp(log_scale)
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size, padding="same", bias=False)
        self.shift = nn.Parameter(torch.zeros(out_channels))
        self.log_scale = nn.Parameter(torch.zeros(out_channels))

    def forward(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b cc h w"]:
        """Normalised features."""
        scale = torch.exp(self.log_scale)
        weight = self.convolution.weight * scale[:, None, None, None]
        return F.conv2d(values, weight, self.shift * scale, padding="same")

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "b c h w"]) -> None:
        """Choose scale and shift so that every feature of these values has mean 0 and variance 1."""
        variance, mean = torch.var_mean(self.convolution(values), dim=(0, 2, 3), correction=0)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-0.5 * torch.log(variance + EPSILON))


def near_zero_convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution whose weights start close to 0."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    for parameter in convolution.parameters():
        nn.init.normal_(parameter, std=INITIAL_STD)
    return convolution
