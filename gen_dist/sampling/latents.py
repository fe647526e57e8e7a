"""Latents of a model that decodes: drawn by number, encoded from images, decoded in chunks, and what their prior is.

The latents of seed s are those of the images that `gen-dist sample --seed s` draws, wherever a family draws an image by
decoding a latent: what looks interesting on that sheet is found again by its number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from gen_dist.capabilities import Decodes, Encodes, capabilities
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.learner import Learner
from gen_dist.sampling.draw import CHUNK, device_of, evaluation_mode

PRIOR_DRAWS = 1024
"""Latents that say what the prior is like."""
PRIOR_SEED = 0
STANDARD_ERRORS = 6.0
"""Further from a standard normal's moments than this is no accident, even for the worst of 10,000 dimensions."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What latents are like, measured on draws.

    Attributes:
        mean: of each dimension; 0 for a standard normal.
        deviation: standard deviation of each dimension; 1 for a standard normal.
        standard_normal: whether the draws' moments are those of independent standard normal values.
    """

    mean: Float64[Tensor, " z"]
    deviation: Float64[Tensor, " z"]
    standard_normal: bool


def draw_latents(learner: Learner, num: int, *, seed: int) -> Float[Tensor, "n z"]:
    """The first `num` latents of a seed; number k is the same however many are drawn.

    Raises:
        ValueError: the learner has no latents to draw, or `num` is below 1.
    """
    if not isinstance(learner, Decodes):
        raise ValueError(unable(learner, "decode latents"))
    if num < 1:
        raise ValueError(f"num is {num}: draw at least 1 latent")
    drawn = []
    with evaluation_mode(learner), torch.no_grad():
        for chunk in range(math.ceil(num / CHUNK)):
            with seeded(seed_for("sample", seed, chunk)):  # as in draw_samples
                drawn.append(learner.draw_latents(CHUNK))
    return torch.cat(drawn)[:num]


def numbered_latents(learner: Learner, numbers: Sequence[int], *, seed: int) -> Float[Tensor, "n z"]:
    """The latents with these numbers, from 0.

    Raises:
        ValueError: a number is negative, there are none, or the learner has no latents to draw.
    """
    if not numbers or min(numbers) < 0:
        raise ValueError(f"the numbers of latents are {list(numbers)}: give at least one, none below 0")
    return draw_latents(learner, max(numbers) + 1, seed=seed)[list(numbers)]


def decode_all(learner: Learner, latents: Float[Tensor, "n z"], *, seed: int) -> UInt8[Tensor, "n c h w"]:
    """Images of latents, on the CPU; a decoder that draws takes its noise from the seed.

    Raises:
        ValueError: the learner can't decode.
    """
    if not isinstance(learner, Decodes):
        raise ValueError(unable(learner, "decode latents"))
    images = []
    with evaluation_mode(learner), torch.no_grad():
        for index, chunk in enumerate(torch.split(latents, CHUNK)):
            with seeded(seed_for("decode", seed, index)):
                images.append(learner.decode(chunk.to(device_of(learner))).cpu())
    return torch.cat(images)


def encode_all(learner: Learner, images: UInt8[Tensor, "n c h w"], *, seed: int) -> Float[Tensor, "n z"]:
    """Latents of images.

    Raises:
        ValueError: the learner can't encode.
    """
    if not isinstance(learner, Encodes):
        raise ValueError(unable(learner, "encode images"))
    latents = []
    with evaluation_mode(learner), torch.no_grad():
        for index, chunk in enumerate(torch.split(images, CHUNK)):
            with seeded(seed_for("encode", seed, index)):
                latents.append(learner.encode(chunk.to(device_of(learner))))
    return torch.cat(latents)


def prior_of(learner: Learner) -> Prior:
    """What the learner's latents are like.

    Moments of every dimension are compared with a standard normal's, and the fourth moment over all dimensions.

    Raises:
        ValueError: the learner has no latents to draw.
    """
    drawn = draw_latents(learner, PRIOR_DRAWS, seed=seed_for("prior", PRIOR_SEED)).double().cpu()
    mean, deviation = drawn.mean(0), drawn.std(0)
    num, total = len(drawn), drawn.numel()
    errors = torch.stack(
        [
            mean.abs().max() * math.sqrt(num),
            (deviation.square() - 1.0).abs().max() * math.sqrt(num / 2.0),
            (drawn.pow(4).mean() - 3.0).abs() * math.sqrt(total / 96.0),  # Var(x^4) = 105 - 9
        ]
    )
    if bool((errors < STANDARD_ERRORS).all()):
        return Prior(torch.zeros_like(mean), torch.ones_like(deviation), True)
    return Prior(mean, deviation, False)


def unable(learner: Learner, task: str) -> str:
    """What to say to somebody who asks a learner for more than it can do."""
    abilities = ", ".join(capabilities(learner)) or "nothing but train"
    return f"{type(learner).__name__} can't {task}; what it can do: {abilities}"
