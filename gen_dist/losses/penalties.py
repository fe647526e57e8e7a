"""Penalties on the slope of a critic. They are computed in the parameters' precision, outside autocast."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Float[Tensor, "b c h w"], fake: Float[Tensor, "b c h w"]
) -> Float[Tensor, ""]:
    """Mean over samples of (slope - 1)^2, with the slope taken between a real and a generated image.

    Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1, lines 4 to 7: each sample draws its own point on the line
    between its two images, and its slope is the Euclidean norm over all dimensions of the sample.

    Args:
        critic: maps images to one score each. It must not mix samples (no batch normalisation), or there is no such
            thing as one sample's slope.
        real: images of the data.
        fake: generated images, detached from the generator.
    """
    with torch.autocast(real.device.type, enabled=False):
        between = interpolate(real, fake).requires_grad_()
        (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norms: Tensor = torch.linalg.vector_norm(slopes.flatten(1), dim=1)
        return (norms - 1.0).square().mean()


def interpolate(real: Float[Tensor, "b c h w"], fake: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """A point between each pair of images: one uniform position per sample, drawn from the global generator."""
    position = torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device)
    return torch.lerp(fake, real, position)
