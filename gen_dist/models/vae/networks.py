"""Encoders and decoders of autoencoders: fully connected, or convolutional stages that halve the image."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import nn

from gen_dist.types import DataSpec

Architecture = Literal["mlp", "conv"]


def build_encoder(architecture: Architecture, data: DataSpec, hidden: Sequence[int], num_outputs: int) -> nn.Sequential:
    """A network from images (b c h w) to vectors (b num_outputs)."""
    if architecture == "mlp":
        return _mlp([data.num_dimensions, *hidden, num_outputs])
    layers: list[nn.Module] = []
    for channels_in, channels_out in pairwise([data.channels, *hidden]):
        layers += [nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1), nn.SiLU()]
    height, width = _sizes(data, len(hidden))[-1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(hidden[-1] * height * width, num_outputs))


def build_decoder(
    architecture: Architecture, data: DataSpec, hidden: Sequence[int], num_inputs: int, channels_out: int
) -> nn.Sequential:
    """A network from vectors (b num_inputs) to maps (b channels_out h w): the encoder's mirror image."""
    if architecture == "mlp":
        layers = _mlp([num_inputs, *reversed(hidden), channels_out * data.height * data.width])
        return nn.Sequential(*layers.children(), nn.Unflatten(1, (channels_out, data.height, data.width)))
    return _convolutional_decoder(data, hidden, num_inputs, channels_out)


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def _sizes(data: DataSpec, num_stages: int) -> list[tuple[int, int]]:
    """Height and width before the first stage and after each; odd sides are rounded up."""
    sizes = [(data.height, data.width)]
    for _ in range(num_stages):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _convolutional_decoder(
    data: DataSpec, channels: Sequence[int], num_inputs: int, channels_out: int
) -> nn.Sequential:
    sizes = _sizes(data, len(channels))
    height, width = sizes[-1]
    layers: list[nn.Module] = [
        nn.Linear(num_inputs, channels[-1] * height * width),
        nn.Unflatten(1, (channels[-1], height, width)),
        nn.SiLU(),
    ]
    widths = [channels[0], *channels]  # the last stage keeps its width for the output convolution
    for stage in reversed(range(len(channels))):
        layers += [nn.Upsample(size=sizes[stage]), nn.Conv2d(widths[stage + 1], widths[stage], 3, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(channels[0], channels_out, 3, padding=1))
