"""First weights of layers that convolve or project."""

import math

from torch import nn

Dense = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def initialised(layer: Dense, std: float | None) -> Dense:
    """The layer with fresh normal weights and biases of zero.

    Args:
        layer: to be changed in place.
        std: standard deviation of the weights, or None to scale them by the layer's inputs (He et al. 2015,
            arXiv:1502.01852).
    """
    if std is None:
        # A transposed convolution of stride s sums only every s-th row and column of its kernel.
        fan_in = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):
            fan_in = layer.in_channels * math.prod(layer.kernel_size) // math.prod(layer.stride)
        std = math.sqrt(2.0 / fan_in)
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def draw_weights(network: nn.Module, std: float) -> None:
    """Draw the weights of all convolutions from N(0, std^2) and set their biases to zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
