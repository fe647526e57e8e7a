"""One latent dimension at a time: what it stands for in the picture, and how much it changes there."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gen_dist.learner import Learner
from gen_dist.sampling.draw import CHUNK
from gen_dist.sampling.latents import decode_all


def traversal(
    latent: Float[Tensor, " z"], dimension: int, values: Sequence[float] | Float[Tensor, " n"]
) -> Float[Tensor, "n z"]:
    """Copies of a latent, one for each value that the dimension takes; all other dimensions stay as they are."""
    moved = latent.repeat(len(values), 1)
    moved[:, dimension] = torch.as_tensor(values, dtype=moved.dtype, device=moved.device)
    return moved


def changes(
    learner: Learner,
    latents: Float[Tensor, "n z"],
    low: Float[Tensor, " z"],
    high: Float[Tensor, " z"],
    *,
    report: Callable[[float], None] = lambda _share: None,
) -> Float[Tensor, " z"]:
    """How much each dimension changes the picture: root mean square difference of pixels between both of its ends.

    Args:
        learner: must be able to decode.
        latents: from which each dimension is moved; the mean square is over them too.
        low: value of each dimension at one end.
        high: at the other.
        report: told which share is done.
    """
    num, size = latents.shape
    squares = []
    per_chunk = max(1, CHUNK // (2 * num))
    for dimensions in torch.split(torch.arange(size), per_chunk):
        ends = []
        for values in (low, high):
            moved = latents.repeat(len(dimensions), 1)
            columns = dimensions.repeat_interleave(num).to(moved.device)
            moved[torch.arange(len(moved), device=moved.device), columns] = values.to(moved)[columns]
            ends.append(moved)
        pictures = decode_all(learner, torch.cat(ends), seed=0).double()
        difference = pictures[: len(ends[0])] - pictures[len(ends[0]) :]
        squares.append(difference.square().reshape(len(dimensions), -1).mean(1))
        report(float(dimensions[-1] + 1) / size)
    return torch.cat(squares).sqrt()
