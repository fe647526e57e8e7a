"""What every learner with a generator does with it outside training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gen_dist.types import from_signed


def dtype_of(module: nn.Module) -> torch.dtype:
    """Precision of a module's parameters."""
    return next(module.parameters()).dtype


def normal_latents(generator: nn.Module, num: int, dim: int) -> Float[Tensor, "n z"]:
    """Standard normal latents from torch's global generator, in the precision and on the device of the weights."""
    weight = next(generator.parameters())
    return torch.randn(num, dim, dtype=weight.dtype, device=weight.device)


@torch.no_grad()
def render(generator: nn.Module, *inputs: Tensor) -> UInt8[Tensor, "n c h w"]:
    """The generator's images, in evaluation mode, which is left again afterwards."""
    was_training = generator.training
    generator.eval()
    images = from_signed(generator(*inputs))
    generator.train(was_training)
    return images


@contextmanager
def standing_statistics(generator: nn.Module) -> Iterator[None]:
    """Re-estimate the generator's batch statistics from the passes that are made inside.

    The running statistics belong to weights of the past, mixed by momentum; the standing statistics (Brock et al. 2018,
    arXiv:1809.11096) are the plain mean over fresh batches. Vectors of spectral normalisation catch up in the same
    passes.
    """
    norms = [layer for layer in generator.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # torch's name for a cumulative average
    was_training = generator.training
    generator.train()
    with torch.no_grad():
        yield
    generator.train(was_training)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
