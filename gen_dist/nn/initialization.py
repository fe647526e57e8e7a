"""First weights of convolutional networks."""

from torch import nn


def draw_weights(network: nn.Module, std: float) -> None:
    """Draw the weights of all convolutions from N(0, std^2) and set their biases to zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
