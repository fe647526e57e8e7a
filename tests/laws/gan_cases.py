"""Small GANs and made-up batches for the tests of adversarial models."""

import itertools
from typing import get_args

import pytest
import torch

from gen_dist.learner import Context, Loss
from gen_dist.losses.adversarial import Objective
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.gan.unconditional import UnconditionalGAN
from gen_dist.nn.normalization import Normalization
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64
GREY = DataSpec(channels=1, height=8, width=8)
TINY = DCGANConfig(latent_dim=5, generator_channels=8, critic_channels=8, base_size=2, initial_std=None)
GAMES = [
    pytest.param(objective, critic, generator, id=f"{objective}, critic {critic}, generator {generator}")
    for objective, critic in itertools.product(get_args(Objective), get_args(Normalization))
    for generator in ("batch", "group", "spectral", "none")
    if not (objective == "wasserstein-gp" and critic == "batch") and (generator == "batch" or objective == "hinge")
]


def learner_of(config: DCGANConfig, data: DataSpec = GREY, dtype: torch.dtype = DOUBLE) -> UnconditionalGAN:
    torch.manual_seed(1)
    learner = config.build(data)
    assert isinstance(learner, UnconditionalGAN)
    return learner.to(dtype)


def batch_of(num: int, data: DataSpec = GREY) -> ImageBatch:
    generator = torch.Generator().manual_seed(2)
    return ImageBatch(images=torch.randint(0, 256, (num, *data.shape), dtype=torch.uint8, generator=generator))


def signal_of(learner: UnconditionalGAN, phase: str, batch: ImageBatch, seed: int = 3) -> Loss:
    torch.manual_seed(seed)
    signals = {p.name: p.signal for p in learner.phases}
    signal = signals[phase](batch, Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    return signal
