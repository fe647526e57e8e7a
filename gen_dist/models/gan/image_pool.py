"""A pool of generated images of the past, half of which the critic sees instead of new ones.

A. Shrivastava et al. 2016, arXiv:1612.07828, in the form of Zhu et al. 2017, arXiv:1703.10593. While the pool fills,
images enter it and pass. Once it is full, each image passes as it is with probability 1/2; otherwise it takes the place
of one that was drawn from the pool, and that one passes instead.
"""

from collections.abc import MutableMapping

import torch
from jaxtyping import Float
from torch import Tensor


def exchange(
    memory: MutableMapping[str, Tensor], name: str, images: Float[Tensor, "b c h w"], size: int
) -> Float[Tensor, "b c h w"]:
    """What the critic should see instead of these images; the pool in `memory` moves on.

    Nothing here waits for the device. The places that one batch takes are different ones, which is the only
    difference from passing its images one by one; the batch in which the pool becomes full swaps none yet.

    Args:
        memory: of the micro-batch; holds the pool as `name` and the number of images in it as `name`_filled.
        name: of the pool.
        images: new, detached from their generator.
        size: images in the pool; 0 for none.

    Raises:
        ValueError: there are more images than the pool has places.
    """
    num = len(images)
    if size == 0:
        return images
    if num > size:
        raise ValueError(
            f"model.pool_size is {size}, and a micro-batch has {num} images: choose a pool of at least {num}, or 0 for "
            "none"
        )
    if name not in memory:
        memory[name] = images.new_zeros((size, *images.shape[1:]))
        memory[f"{name}_filled"] = torch.zeros((), dtype=torch.int64, device=images.device)
    pool, filled = memory[name], memory[f"{name}_filled"]
    full = filled >= size
    following = filled + torch.arange(num, device=images.device)
    swapped = full & (torch.rand(num, device=images.device) < 0.5)
    drawn = torch.rand(size, device=images.device).argsort()[:num]
    places = torch.where(full, drawn, following % size)
    stored = torch.where(full, swapped, following < size)
    old = pool[places]
    memory[name] = pool.index_copy(0, places, torch.where(_each(stored), images, old))
    memory[f"{name}_filled"] = (filled + num).clamp(max=size)
    return torch.where(_each(swapped), old, images)


def _each(chosen: Tensor) -> Tensor:
    """One decision per image, in a shape that spreads over its pixels."""
    return chosen[:, None, None, None]
