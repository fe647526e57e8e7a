"""Normalisation by name: what stands after a convolution, or on its weight."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Normalization = Literal["batch", "group", "spectral", "none"]

_CHANNELS_PER_GROUP = 16


def normalization_layer(kind: Normalization, num_channels: int, *, affine: bool = True) -> nn.Module:
    """The layer that follows a convolution with `num_channels` outputs; the identity for "spectral" and "none".

    Groups have 16 channels, a size that Wu and He (2018, arXiv:1803.08494, Table 3) find as good as 32 groups and
    that, unlike a fixed number of groups, does not shrink with the network's width; where 16 does not divide the
    channels, as many as the largest power of two that does: an odd number is normalised channel by channel.
    Without `affine` nothing is learned: no gain, no offset.
    """
    match kind:
        case "batch":
            return nn.BatchNorm2d(num_channels, affine=affine)
        case "group":
            groups = num_channels // math.gcd(num_channels, _CHANNELS_PER_GROUP)
            return nn.GroupNorm(groups, num_channels, affine=affine)
        case "spectral" | "none":
            return nn.Identity()


def constrained(kind: Normalization, layer: nn.Module) -> nn.Module:
    """The same layer, with its weight divided by its largest singular value if the kind is "spectral".

    Miyato et al. 2018, arXiv:1802.05957, with one power iteration for each forward pass in training mode. Initialise
    the layer before: the first estimate of the singular vectors is taken from the weight as it is.
    """
    if kind != "spectral":
        return layer
    layer = spectral_norm(layer)
    parametrizations = layer.get_submodule("parametrizations.weight")
    assert isinstance(parametrizations, nn.ModuleList)
    parametrizations[0] = _FullPrecision(parametrizations[0])
    return layer


def needs_bias(kind: Normalization) -> bool:
    """Whether a layer that is normalised so has a bias: a mean that is subtracted afterwards would cancel it."""
    return kind in ("spectral", "none")


class _FullPrecision(nn.Module):
    """A parametrisation that is computed outside autocast: a power iteration in bfloat16 is off by per cents."""

    def __init__(self, parametrization: nn.Module) -> None:
        super().__init__()
        self.parametrization = parametrization

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            normalized: Tensor = self.parametrization(weight)
        return normalized
