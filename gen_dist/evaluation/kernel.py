"""The kernel distance: squared maximum mean discrepancy of two sets of features, estimated without bias.

Bińkowski et al. 2018, "Demystifying MMD GANs" (arXiv:1801.01401). The whole sets are used instead of an average over
subsets: no randomness is added, and the expectation is the same.
"""

from typing import final

import torch
from jaxtyping import Float, Float64
from torch import Tensor

ROWS_PER_BLOCK = 256
"""Rows of the kernel matrix that are held at a time: blocks that fit the cache take a third of the time."""


@final
class KernelDistance:
    """Kernel distances to one reference set, whose own term is computed once.

    The kernel is k(x, y) = (x·y / f + 1)³ with f the number of features (Bińkowski et al., Section 4).
    """

    def __init__(self, reference: Float[Tensor, "n f"]) -> None:
        self._reference = _at_least_two(reference)
        self._within = _mean_within(self._reference)

    def __call__(self, features: Float[Tensor, "m f"]) -> float:
        """The unbiased estimate; it averages 0 on equal distributions, so it may be slightly negative.

        Raises:
            ValueError: there are fewer than two rows.
        """
        features = _at_least_two(features)
        across = _kernel_sum(features, self._reference) / (len(features) * len(self._reference))
        return float(_mean_within(features) + self._within - 2 * across)


def _mean_within(features: Float64[Tensor, "n f"]) -> Float64[Tensor, ""]:
    """Mean of the kernel over pairs of different rows."""
    num = len(features)
    diagonal = _kernel(features.square().sum(dim=1), features.shape[1]).sum()
    return (_kernel_sum(features, features) - diagonal) / (num * (num - 1))


def _kernel_sum(first: Float64[Tensor, "n f"], second: Float64[Tensor, "m f"]) -> Float64[Tensor, ""]:
    blocks = [_kernel(block @ second.T, second.shape[1]).sum() for block in torch.split(first, ROWS_PER_BLOCK)]
    return torch.stack(blocks).sum()


def _kernel(products: Float64[Tensor, "*shape"], num_features: int) -> Float64[Tensor, "*shape"]:
    shifted = products / num_features + 1.0
    return shifted * shifted * shifted  # pow(3) takes ten times as long


def _at_least_two(features: Float[Tensor, "n f"]) -> Float64[Tensor, "n f"]:
    if len(features) < 2:
        raise ValueError(f"a kernel distance needs at least 2 images on either side, not {len(features)}")
    return features.double()
