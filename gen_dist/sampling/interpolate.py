"""Between two latents: along the straight line, or along the sphere on which normal latents lie.

In many dimensions draws from a standard normal all have about the same length, and the middle of a straight line
between two of them is shorter than any draw: a picture that the model was never trained on. Turning the one into the
other keeps the length (White 2016, "Sampling Generative Networks", arXiv:1609.04468).
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

PathKind = Literal["spherical", "linear"]

PARALLEL_SINE = 1e-6
"""Below this sine of the angle between two directions the turn between them is not well defined."""


def lerp(start: Float[Tensor, " z"], end: Float[Tensor, " z"], share: float) -> Float[Tensor, " z"]:
    """The point at `share` of the straight line; exactly the ends at 0 and 1."""
    if share in (0.0, 1.0):
        return (end if share else start).clone()
    return start + share * (end - start)


def slerp(start: Float[Tensor, " z"], end: Float[Tensor, " z"], share: float) -> Float[Tensor, " z"]:
    """The point at `share` of the turn: the direction moves evenly on the great circle, the length evenly between both.

    Where the circle is not defined (directions that are equal or opposite, or a latent of length 0) it is the point on
    the straight line. The ends are exact.
    """
    if share in (0.0, 1.0):
        return (end if share else start).clone()
    first, last = start.double(), end.double()
    lengths = float(first.norm()), float(last.norm())
    if min(lengths) == 0.0:
        return lerp(start, end, share)
    directions = first / lengths[0], last / lengths[1]
    cosine = float(directions[0] @ directions[1])
    # What is left of the end's direction at right angles to the start's has the sine as its length: exact for small
    # angles too, where the cosine has lost them.
    sideways = directions[1] - cosine * directions[0]
    sine = float(sideways.norm())
    if sine < PARALLEL_SINE:
        return lerp(start, end, share)
    angle = share * math.atan2(sine, cosine)
    direction = math.cos(angle) * directions[0] + math.sin(angle) * sideways / sine
    return (((1.0 - share) * lengths[0] + share * lengths[1]) * direction).to(start.dtype)


def path(start: Float[Tensor, " z"], end: Float[Tensor, " z"], num: int, kind: PathKind) -> Float[Tensor, "num z"]:
    """`num` points at equal shares, both ends among them.

    Raises:
        ValueError: `num` is below 2.
    """
    if num < 2:
        raise ValueError(f"steps is {num}: a path has at least its 2 ends")
    step = slerp if kind == "spherical" else lerp
    return torch.stack([step(start, end, index / (num - 1)) for index in range(num)])
