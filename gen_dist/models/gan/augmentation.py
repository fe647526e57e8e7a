"""Random changes of images that gradients pass, made to real and to generated ones alike before the critic sees them.

S. Zhao, Z. Liu, J. Lin, J. Zhu, S. Han (2020): Differentiable Augmentation for Data-Efficient GAN Training,
arXiv:2006.10738. The critic so sees more varied data than there are, and the generator is not taught the changes, since
its images go through the same ones: they are part of what the critic looks at, not of the data.

| name | what each image draws |
|---|---|
| colour | brightness from [-1/2, 1/2] added, saturation times [0, 2], contrast times [1/2, 3/2] |
| translation | a shift of up to an eighth of each side; zeros (mid-grey) move in |
| cutout | a square of half each side set to zero, its centre anywhere in the image |
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Augmentation = Literal["colour", "translation", "cutout"]

_LARGEST_SHIFT = 0.125
_CUTOUT = 0.5


def augment(policy: Sequence[Augmentation], images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The images, each changed in its own way, drawn from the global generator; differentiable in the images.

    Args:
        policy: what is changed, in this order; nothing is drawn for an empty one.
        images: in [-1, 1]; what comes back may leave that range.
    """
    for name in policy:
        match name:
            case "colour":
                images = colour(images)
            case "translation":
                images = translate(images)
            case "cutout":
                images = cut_out(images)
    return images


def colour(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Brightness, saturation and contrast. Grey images have no saturation to change."""
    images = images + (_uniform(images) - 0.5)
    if images.shape[1] > 1:
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * (2.0 * _uniform(images))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (0.5 + _uniform(images))


def translate(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """A shift by whole pixels."""
    for axis in (2, 3):
        size = images.shape[axis]
        furthest = round(size * _LARGEST_SHIFT)
        shift = _whole(images, 2 * furthest + 1) - furthest
        source = torch.arange(size, device=images.device) - shift[:, None]
        inside = (source >= 0) & (source < size)
        shape = [len(images), 1, 1, 1]
        shape[axis] = size
        index = source.clamp(0, size - 1).view(shape).expand(images.shape)
        images = images.gather(axis, index) * inside.view(shape)
    return images


def cut_out(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """A square of zeros, which may reach over the border."""
    rows, columns = _stretch(images, 2), _stretch(images, 3)
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _stretch(images: Tensor, axis: int) -> Bool[Tensor, "b n"]:
    """Which rows or columns of each image the square takes."""
    size = images.shape[axis]
    side = round(size * _CUTOUT)
    start = _whole(images, size)[:, None] - side // 2
    position = torch.arange(size, device=images.device)
    return (position >= start) & (position < start + side)


def _uniform(images: Tensor) -> Float[Tensor, "b 1 1 1"]:
    return torch.rand(len(images), 1, 1, 1, dtype=images.dtype, device=images.device)


def _whole(images: Tensor, below: int) -> Int64[Tensor, " b"]:
    """One of 0, 1, ... below - 1 for each image."""
    return torch.randint(below, (len(images),), device=images.device)
