"""Pictures of what a model knows: completions of upper parts, reconstructions, a latent space of two dimensions."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gen_dist.capabilities import Completes, Decodes, Encodes, Samples, capabilities
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.learner import Learner
from gen_dist.sampling.draw import device_of, evaluation_mode

UNKNOWN = 128
"""Grey of rows that a model has yet to draw."""
TAIL = 0.02
"""Share of the normal distribution that lies beyond each edge of the plane."""


def completions(
    learner: Learner,
    images: UInt8[Tensor, "n c h w"],
    *,
    num_rows: int,
    num_each: int,
    seed: int,
    temperature: float = 1.0,
) -> UInt8[Tensor, "m c h w"]:
    """For each image a row of the sheet: the image, its known part, and several completions.

    Args:
        learner: must be able to complete images.
        images: to be completed.
        num_rows: rows from the top that are known.
        num_each: completions of each image.
        seed: of the noise.
        temperature: scale of the randomness; positive.

    Raises:
        ValueError: the learner can't complete, there is nothing known or nothing to complete, or the temperature is not
            positive.
    """
    if not isinstance(learner, Completes):
        raise ValueError(_unable(learner, "complete images"))
    height = images.shape[2]
    if not 0 < num_rows < height:
        raise ValueError(f"num_rows is {num_rows}: of {height} rows at least one must be known and one unknown")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}: it must be positive")
    known = images.clone()
    known[:, :, num_rows:] = UNKNOWN
    repeated = images.repeat_interleave(num_each, dim=0).to(device_of(learner))
    with evaluation_mode(learner), torch.no_grad(), seeded(seed_for("complete", seed)):
        drawn = learner.complete(repeated, num_rows, temperature=temperature).cpu()
    drawn = drawn.reshape(len(images), num_each, *images.shape[1:])
    return torch.cat([images[:, None], known[:, None], drawn], dim=1).flatten(0, 1)


def reconstructions(learner: Learner, images: UInt8[Tensor, "n c h w"], *, seed: int) -> UInt8[Tensor, "n c h w"]:
    """Images encoded and decoded again.

    Raises:
        ValueError: the learner can't do both.
    """
    if not (isinstance(learner, Encodes) and isinstance(learner, Decodes)):
        raise ValueError(_unable(learner, "encode and decode images"))
    with evaluation_mode(learner), torch.no_grad(), seeded(seed_for("reconstruct", seed)):
        return learner.decode(learner.encode(images.to(device_of(learner)))).cpu()


def latent_plane(learner: Learner, side: int) -> UInt8[Tensor, "n c h w"]:
    """Images decoded from a square grid over a two-dimensional latent space, row by row from the top.

    The grid is even in the normal distribution's quantiles, so each image stands for the same share of the prior
    (Kingma and Welling 2014, arXiv:1312.6114, Fig. 4).

    Raises:
        ValueError: the learner can't decode, or not draw (an autoencoder has no prior that a plane could show), or its
            latent space has not two dimensions.
    """
    if not (isinstance(learner, Decodes) and isinstance(learner, Samples)):
        raise ValueError(_unable(learner, "decode latents of a prior"))
    if side < 1:
        raise ValueError(f"side is {side}: the plane needs at least 1 image")
    with evaluation_mode(learner), torch.no_grad(), seeded(0):
        example = learner.draw_latents(1)
        if example.shape[1] != 2:
            raise ValueError(
                f"this model has {example.shape[1]} latent dimensions, and a plane has 2: train one with "
                "--model.latent-dim 2"
            )
        return learner.decode(_plane(side).to(example)).cpu()


def _plane(side: int) -> Float[Tensor, "n 2"]:
    quantiles = torch.special.ndtri(torch.linspace(TAIL, 1.0 - TAIL, side, dtype=torch.float64))
    down, right = torch.meshgrid(-quantiles, quantiles, indexing="ij")
    return torch.stack([right.flatten(), down.flatten()], dim=1)


def _unable(learner: Learner, task: str) -> str:
    abilities = ", ".join(capabilities(learner)) or "nothing but train"
    return f"{type(learner).__name__} can't {task}; what it can do: {abilities}"
