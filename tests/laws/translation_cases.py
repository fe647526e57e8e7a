"""Small translators and made-up pairs for the tests of image-to-image models."""

from typing import Any

import torch
from torch import nn

from gen_dist.learner import Context, Learner, Loss
from gen_dist.models.gan.cyclegan import CycleGAN, CycleGANConfig
from gen_dist.models.gan.pix2pix import Pix2Pix, Pix2PixConfig
from gen_dist.types import DataSpec, ImageBatch, Moment, SourceSpec

DOUBLE = torch.float64
PAIRS = DataSpec(channels=1, height=8, width=8, source=SourceSpec(channels=3, height=8, width=8))
ENLARGED = DataSpec(channels=1, height=8, width=8, source=SourceSpec(channels=1, height=2, width=2))
ALIKE = DataSpec(channels=1, height=8, width=8, source=SourceSpec(channels=1, height=8, width=8, paired=False))


def pix2pix(data: DataSpec = PAIRS, **settings: Any) -> Pix2Pix:
    torch.manual_seed(1)
    config = Pix2PixConfig(**({"patch_size": 16, "generator_channels": 4, "critic_channels": 4} | settings))
    learner = config.build(data)
    assert isinstance(learner, Pix2Pix)
    return learner.double()


def cyclegan(data: DataSpec = ALIKE, **settings: Any) -> CycleGAN:
    torch.manual_seed(1)
    small = {"patch_size": 16, "generator_channels": 4, "critic_channels": 4, "num_halvings": 1, "num_blocks": 1}
    learner = CycleGANConfig(**(small | settings)).build(data)
    assert isinstance(learner, CycleGAN)
    return learner.double()


def pairs_of(num: int, data: DataSpec) -> ImageBatch:
    assert data.source is not None
    generator = torch.Generator().manual_seed(2)
    images, sources = (
        torch.randint(0, 256, (num, *shape), dtype=torch.uint8, generator=generator)
        for shape in (data.shape, data.source.shape)
    )
    return ImageBatch(images=images, sources=sources)


def signal_of(learner: Learner, phase: str, batch: ImageBatch, seed: int = 3) -> Loss:
    torch.manual_seed(seed)
    signals = {p.name: p.signal for p in learner.phases}
    signal = signals[phase](batch, Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    return signal


def without_normalization(network: nn.Module) -> nn.Module:
    """The same network; each score or pixel then depends on what its convolutions reach, and on nothing else."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.Identity())
    return network


@torch.no_grad()
def with_positive_weights(network: nn.Module) -> nn.Module:
    """The same network; no two paths then cancel, and no rectifier is off for a positive input."""
    for parameter in network.parameters():
        parameter.copy_(torch.rand_like(parameter) + 0.1)
    return network
