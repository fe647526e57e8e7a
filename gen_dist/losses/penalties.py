"""Penalties on the slope of a critic. They are computed in the parameters' precision, outside autocast.

The slope of one image's score is the Euclidean norm of its gradient over all dimensions of that image. A critic must
not mix samples (no batch normalisation), or there is no such thing as one sample's slope.

| penalty | value | where | source |
|---|---|---|---|
| two-sided | E (slope - 1)^2 | between a real and a generated one | Gulrajani et al. 2017, arXiv:1704.00028 |
| one-sided | E max(0, slope - 1)^2 | the same | Petzka et al. 2018, arXiv:1709.08894 (WGAN-LP) |
| dragan | E (slope - 1)^2 | around real images | Kodali et al. 2017, arXiv:1705.07215 |
| r1 | 1/2 E slope^2 | at real images | Mescheder et al. 2018, arXiv:1801.04406 |
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

PenaltyKind = Literal["none", "two-sided", "one-sided", "dragan", "r1"]

_DRAGAN_NOISE = 0.5  # in standard deviations of the batch, a scale that implementations share


def slope_penalty(
    kind: PenaltyKind,
    critic: Callable[[Tensor], Tensor],
    real: Float[Tensor, "b c h w"],
    fake: Float[Tensor, "b c h w"],
) -> Float[Tensor, ""]:
    """The penalty of that kind, before its weight; zero for "none".

    Args:
        kind: which row of the table above.
        critic: maps images to one score each.
        real: images of the data.
        fake: generated images, detached from the generator; only "two-sided" and "one-sided" look at them.
    """
    match kind:
        case "none":
            return real.new_zeros(())
        case "two-sided":
            return gradient_penalty(critic, real, fake)
        case "one-sided":
            return (slopes(critic, interpolate(real, fake)) - 1.0).relu().square().mean()
        case "dragan":
            return (slopes(critic, perturb(real)) - 1.0).square().mean()
        case "r1":
            return 0.5 * squared_slopes(critic, real).mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Float[Tensor, "b c h w"], fake: Float[Tensor, "b c h w"]
) -> Float[Tensor, ""]:
    """Mean over samples of (slope - 1)^2, each at its own point between its real and its generated image.

    Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1, lines 4 to 7.
    """
    return (slopes(critic, interpolate(real, fake)) - 1.0).square().mean()


def slopes(critic: Callable[[Tensor], Tensor], images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """How steep the critic is at each image: the norm of its gradient there, differentiable in the critic's weights."""
    norms: Tensor = torch.linalg.vector_norm(_gradients(critic, images), dim=1)
    return norms


def squared_slopes(critic: Callable[[Tensor], Tensor], images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """The squares of `slopes`, differentiable also where a slope is zero."""
    return _gradients(critic, images).square().sum(dim=1)


def interpolate(real: Float[Tensor, "b c h w"], fake: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """A point between each pair of images: one uniform position per sample, drawn from the global generator."""
    position = torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device)
    return torch.lerp(fake, real, position)


def perturb(real: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Real images with Gaussian noise of half their own standard deviation, after Kodali et al. 2017.

    Common implementations (compare_gan's among them) scale numbers in [0, 1) so, which also makes images brighter.
    """
    return real + _DRAGAN_NOISE * real.std(correction=0) * torch.randn_like(real)


def _gradients(critic: Callable[[Tensor], Tensor], images: Tensor) -> Float[Tensor, "b d"]:
    with torch.autocast(images.device.type, enabled=False):
        points = images.detach().requires_grad_()
        (gradients,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradients.flatten(1)
