"""Batch statistics that are measured anew for weights that no batch has passed, such as moving averages."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def standing_statistics(network: nn.Module) -> Iterator[None]:
    """Inside the block every forward pass counts equally towards the running statistics of all batch norms.

    Running statistics belong to weights of the past, mixed by momentum; the standing statistics (Brock et al. 2018,
    arXiv:1809.11096) are the plain mean over the passes in the block. The network is in training mode there, so that
    the vectors of spectral normalisation catch up in the same passes; every module's own mode returns afterwards.
    """
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in norms]
    modes = [(module, module.training) for module in network.modules()]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # torch's name for a cumulative average
    network.train()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
