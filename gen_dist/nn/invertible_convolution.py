"""The invertible 1x1 convolution: a learned mixture of channels that generalises a permutation (arXiv:1807.03039)."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@final
class InvertibleConvolution(nn.Module):
    """W = P L (U + diag(s)), started at a random rotation (Sec. 3.2, Eq. 10).

    P is fixed; L has ones on its diagonal, U has zeros there. The signs of s are fixed too, so they are moved into P,
    which is therefore a permutation with signs: with D = diag(sign s),

        P L (U + diag(s)) = (P D) (D L D) (D U + diag(abs s)).

    What is learned is one matrix: below its diagonal L, above it U, and on it log abs s, whose sum is log abs det W.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(rotation)
        signs = torch.sign(upper.diagonal())
        upper = signs[:, None] * upper
        lower = signs[:, None] * lower * signs
        self.factors = nn.Parameter(lower.tril(-1) + upper.triu(1) + torch.diag(torch.log(upper.diagonal())))
        self.permutation: Tensor
        self.register_buffer("permutation", permutation * signs)  # random, so it is saved

    @property
    def log_scale(self) -> Float[Tensor, " c"]:
        """Logarithm of abs s; their sum is the log-determinant at one pixel."""
        return self.factors.diagonal()

    @property
    def weight(self) -> Float[Tensor, "c c"]:
        """W: output channels by input channels."""
        lower, upper = self._triangles()
        return self.permutation @ (lower @ upper)

    @property
    def inverse_weight(self) -> Float[Tensor, "c c"]:
        """The inverse of W, by two triangular solves."""
        lower, upper = self._triangles()
        solved = torch.linalg.solve_triangular(lower, self.permutation.T, upper=False, unitriangular=True)
        inverse: Tensor = torch.linalg.solve_triangular(upper, solved, upper=True)
        return inverse

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Output and log-determinant."""
        with full_precision(values):
            output = F.conv2d(values, self.weight[:, :, None, None])
            log_determinant = values.shape[2] * values.shape[3] * self.log_scale.sum()
        return output, log_determinant.expand(len(values))

    def inverse(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The values that `forward` maps here."""
        with full_precision(values):
            return F.conv2d(values, self.inverse_weight[:, :, None, None])

    def _triangles(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(self.factors), dtype=self.factors.dtype, device=self.factors.device)
        return self.factors.tril(-1) + identity, self.factors.triu(1) + torch.diag(torch.exp(self.log_scale))


def full_precision(values: Tensor) -> torch.autocast:
    """Outside autocast: what is rounded to bfloat16 is no longer the inverse of anything."""
    return torch.autocast(values.device.type, enabled=False)
