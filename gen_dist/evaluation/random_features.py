"""Random convolutions: features for data without labels, which need no training."""

import hashlib
import math
from typing import final

import torch
from jaxtyping import UInt8
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.evaluation.extractor import CHUNK, Extraction
from gen_dist.evaluation.protocol import ExtractorName
from gen_dist.types import DataSpec, to_signed

NUM_FEATURES = 32
"""Few, so that the covariance of a few hundred images is not singular."""
SMALLEST_SIDE = 4
"""Convolutions halve images until no side is longer."""
NARROWEST, WIDEST = 16, 64
"""Channels at full size at least, and at the smallest size."""


@final
class RandomExtractor:
    """A fixed, randomly initialised convolutional network.

    Untrained convolutional features tell distributions apart (Naeem et al. 2020, "Reliable Fidelity and Diversity
    Metrics for Generative Models", arXiv:2002.09797), though they know nothing of what images show.
    """

    name: ExtractorName = "random"

    def __init__(self, spec: DataSpec, *, seed: int = 0) -> None:
        with seeded(seed_for("random features", seed)):
            self._network = random_network(spec)
        weights = save_tensors(dict(self._network.state_dict()))
        self.digest = hashlib.sha256(f"{self._network} [-1, 1]".encode() + weights).hexdigest()

    @torch.no_grad()
    def extract(self, images: UInt8[Tensor, "n c h w"]) -> Extraction:
        """See Extractor; there are no classes. It computes on the CPU."""
        chunks = [self._network(to_signed(chunk)) for chunk in torch.split(images.cpu(), CHUNK)]
        return Extraction(torch.cat(chunks).double())


def random_network(spec: DataSpec) -> nn.Sequential:
    """Two convolutions at each scale, averages over the quadrants, a projection; He initialisation.

    Quadrants keep a coarse sense of place that one average over the whole image loses.
    """
    num_halvings = max(0, math.ceil(math.log2(max(spec.height, spec.width) / SMALLEST_SIDE)))
    widths = [max(NARROWEST, WIDEST >> (num_halvings - halving)) for halving in range(num_halvings + 1)]
    layers: list[nn.Module] = []
    channels = spec.channels
    for scale, width in enumerate(widths):
        for stride in (2 if scale else 1, 1):
            layers += [nn.Conv2d(channels, width, 3, stride, padding=1), nn.ReLU()]
            channels = width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, NUM_FEATURES))
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.normal_(parameter, std=0.1)
    return network.eval().requires_grad_(False)
