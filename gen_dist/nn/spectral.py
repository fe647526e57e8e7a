"""Spectral normalisation that can follow more than the largest singular value of a weight.

Miyato et al. 2018, arXiv:1802.05957. Torch has a parametrisation for the largest value alone; the further ones tell how
a network is about to collapse (Brock et al. 2018, arXiv:1809.11096), and an embedding needs one too.
"""

from typing import TypeVar, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.Embedding)

_FIRST_ITERATIONS = 15


@final
class SpectralNorm(nn.Module):
    """A parametrisation: the weight divided by the estimate of its largest singular value.

    The weight is a matrix of one row per output. Each call in training mode takes one step of the power iteration, with
    the further vectors kept orthogonal to those before (Gram-Schmidt). It is computed outside autocast: in bfloat16 the
    iteration is off by per cents. The vectors are persistent buffers; no gradient passes through them.

    Args:
        weight: as it is before training; the first vectors are estimated from it.
        num_singular_values: how many of the largest are followed, at most as many as there are.
    """

    left: Float[Tensor, "n rows"]
    right: Float[Tensor, "n columns"]

    def __init__(self, weight: Tensor, num_singular_values: int = 1) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        num = min(num_singular_values, *matrix.shape)
        self.register_buffer("left", orthonormalised(torch.randn_like(matrix[:, :num].t().contiguous())))
        self.register_buffer("right", orthonormalised(self.left @ matrix))
        for _ in range(0 if matrix.is_meta else _FIRST_ITERATIONS):  # there are no values to estimate from
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with a largest singular value of about 1."""
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self._iterate(weight.detach().flatten(1))
            return weight / self.singular_values(weight)[0]

    def singular_values(self, weight: Tensor) -> Float[Tensor, " n"]:
        """Estimates of the largest singular values, in order; differentiable in the weight."""
        # Copies: the next call moves the buffers in place before this one's gradient is taken.
        left, right = self.left.clone(), self.right.clone()
        return ((left @ weight.flatten(1)) * right).sum(dim=1)

    @torch.no_grad()
    def _iterate(self, matrix: Float[Tensor, "rows columns"]) -> None:
        self.right.copy_(orthonormalised(self.left @ matrix))
        self.left.copy_(orthonormalised(self.right @ matrix.t()))


def orthonormalised(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Gram-Schmidt: each row loses its part along the rows before it, and gets length 1."""
    rows: list[Tensor] = []
    for vector in vectors:
        for row in rows:
            vector = vector - (vector @ row) * row
        rows.append(nn.functional.normalize(vector, dim=0, eps=1e-12))
    return torch.stack(rows)


def spectrally_normalized(layer: Layer, num_singular_values: int = 1) -> Layer:
    """The same layer, its weight divided by its largest singular value. Initialise the layer before."""
    norm = SpectralNorm(layer.weight, num_singular_values)
    # "Unsafe" skips a trial run that asks for the shape, which stays; it fails on the meta device, unknown to autocast.
    parametrize.register_parametrization(layer, "weight", norm, unsafe=True)
    return layer


def orthogonal(layer: Layer) -> Layer:
    """The same layer with orthonormal rows, or columns if they are the shorter ones, and a bias of zero.

    Saxe et al. 2014, arXiv:1312.6120.
    """
    nn.init.orthogonal_(layer.weight)
    if not isinstance(layer, nn.Embedding) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def largest_singular_values(network: nn.Module, num: int) -> list[Float[Tensor, ""]]:
    """For each of the `num` first singular values its largest estimate over all normalised layers, before division."""
    found: list[list[Tensor]] = [[] for _ in range(num)]
    for layer in network.modules():
        if isinstance(layer, parametrize.ParametrizationList) and isinstance(layer[0], SpectralNorm):
            for rank, value in enumerate(layer[0].singular_values(layer.original)):
                found[rank].append(value)
    return [torch.stack(values).max() for values in found]
