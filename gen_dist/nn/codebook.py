"""A codebook: vectors that stand for whatever lies nearest to them (arXiv:1711.00937, Sec. 3.1 and appendix A.1)."""

from collections.abc import Mapping
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

_NEVER_USED = 1e-12  # a share of the vectors below which their mean is rounding noise


@final
class Codebook(nn.Module):
    """Vectors that are either a parameter, or running means of what they stood for.

    Running means are kept as the share of vectors that each code stands for and as their sum (Eq. 6 and 7; divided by
    the number of vectors, so that a batch may be cut), and their quotient is the code (Eq. 8).

    Args:
        num_codes: K in the paper.
        code_dim: D in the paper.
        learned: whether the vectors are a parameter.
        decay: of the running means, per step.
        restart_below: a code whose share falls below this part of 1/K takes over half of what a much used code stands
            for; 0 for never. Of running means only.
    """

    def __init__(
        self, num_codes: int, code_dim: int, *, learned: bool, decay: float = 0.99, restart_below: float = 0.0
    ) -> None:
        super().__init__()
        self.learned, self.decay, self.restart_below = learned, decay, restart_below
        self.vectors: Tensor
        self.shares: Tensor
        self.sums: Tensor
        start = torch.randn(num_codes, code_dim)
        if learned:
            self.vectors = nn.Parameter(start)
        else:
            self.register_buffer("vectors", start)
            self.register_buffer("shares", torch.full((num_codes,), 1.0 / num_codes))
            self.register_buffer("sums", start / num_codes)

    @torch.no_grad()
    def initialise(self, latents: Float[Tensor, "b d h w"]) -> None:
        """Start the codes at vectors drawn from `latents`; some are taken again when there are fewer than codes."""
        flat = _vectors(latents)
        order = torch.randperm(len(flat), device=flat.device)
        self.vectors.copy_(flat[order[torch.arange(len(self.vectors), device=flat.device) % len(flat)]])
        if not self.learned:
            self.shares.fill_(1.0 / len(self.vectors))
            self.sums.copy_(self.vectors * self.shares[:, None])

    @torch.no_grad()
    def nearest(self, latents: Float[Tensor, "b d h w"]) -> Int64[Tensor, "b h w"]:
        """The code nearest to each vector (Eq. 1)."""
        with torch.autocast(latents.device.type, enabled=False):  # the nearest of many: bfloat16 would mix them up
            flat = _vectors(latents.to(self.vectors.dtype))
            distances = self.vectors.square().sum(1) - 2.0 * flat @ self.vectors.T  # less the same for all codes
        num, _, height, width = latents.shape
        return distances.argmin(1).reshape(num, height, width)

    def look_up(self, codes: Int64[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """The vectors of codes; differentiable in them if they are learned."""
        return F.embedding(codes, self.vectors).permute(0, 3, 1, 2)

    @torch.no_grad()
    def statistics(self, latents: Float[Tensor, "b d h w"], codes: Int64[Tensor, "b h w"]) -> dict[str, Tensor]:
        """What a running mean must know of a micro-batch: "shares" of the codes and "sums" of their vectors.

        Both are divided by the number of vectors, so that their mean over micro-batches is that of the whole batch.
        """
        with torch.autocast(latents.device.type, enabled=False):
            chosen = F.one_hot(codes.flatten(), len(self.vectors)).to(self.vectors.dtype)
            flat = _vectors(latents.to(self.vectors.dtype))
            return {"shares": chosen.mean(0), "sums": chosen.T @ flat / len(flat)}

    @torch.no_grad()
    def update(self, statistics: Mapping[str, Tensor]) -> None:
        """Move the running means, and the codes with them; a code that was never used stays where it is."""
        self.shares.lerp_(statistics["shares"], 1.0 - self.decay)
        self.sums.lerp_(statistics["sums"], 1.0 - self.decay)
        if self.restart_below:
            self._restart(statistics["shares"], statistics["sums"])
        shares = self.shares[:, None]
        self.vectors.copy_(torch.where(shares > _NEVER_USED, self.sums / shares, self.vectors))

    def _restart(self, shares: Float[Tensor, " k"], sums: Float[Tensor, "k d"]) -> None:
        """Split the most used codes as in Linde, Buzo and Gray 1980: one half stays, a dead code takes the other.

        The dead code starts at the mean of what the other one stood for in this batch. That is near the other's running
        mean but not on it, so the next batches part the two. Nothing here waits for the device.
        """
        num_codes = len(self.shares)
        order = self.shares.argsort(descending=True, stable=True)
        full, dead = order[: num_codes // 2], order.flip(0)[: num_codes // 2]
        restart = (self.shares[dead] < self.restart_below / num_codes) & (shares[full] > 0.0)
        half = 0.5 * self.shares[full]
        start = half[:, None] * sums[full] / shares[full].clamp_min(_NEVER_USED)[:, None]
        self.sums[dead] = torch.where(restart[:, None], start, self.sums[dead])
        self.sums[full] = torch.where(restart[:, None], 0.5 * self.sums[full], self.sums[full])
        self.shares[dead] = torch.where(restart, half, self.shares[dead])
        self.shares[full] = torch.where(restart, half, self.shares[full])


def perplexity(shares: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """How many codes are in use: K when all are equally often, 1 when it is always the same."""
    return torch.exp(-torch.special.xlogy(shares, shares).sum())


def _vectors(latents: Float[Tensor, "b d h w"]) -> Float[Tensor, "bhw d"]:
    return latents.permute(0, 2, 3, 1).flatten(0, 2)
