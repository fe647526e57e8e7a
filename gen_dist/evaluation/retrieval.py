"""Whether images show what their captions say: how often a matcher picks each image's own caption out of several.

The score is only as good as the matcher, so it is read between two anchors: what the same matcher makes of real
images, and chance. A matcher whose text encoder a generator was trained with is partial to it: judge with another one.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.learner import Conditions, Learner, Matches, Samples, capabilities
from gen_dist.sampling.draw import device_of, draw_samples, evaluation_mode

NUM_CHOICES = 10
"""Captions that an image's own one is picked from, itself included."""
_CHUNK = 256  # images matched at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieval:
    """How often the own caption was picked.

    Attributes:
        share: of the images whose own caption scored highest; k captions that tie for the highest count 1/k each.
        standard_error: of the share, over images.
        chance: share of a matcher that sees nothing.
        num_images: how many were judged.
    """

    share: float
    standard_error: float
    chance: float
    num_images: int


def retrieval(
    matcher: Learner,
    images: UInt8[Tensor, "n c h w"],
    captions: UInt8[Tensor, "n l"],
    *,
    num_choices: int = NUM_CHOICES,
    seed: int = 0,
) -> Retrieval:
    """How often a matcher picks each image's own caption out of several different ones of these captions.

    Args:
        matcher: judges; on any device.
        images: of a model, or real.
        captions: what each of them is to show, UTF-8 bytes filled up with zeros.
        num_choices: captions that each image meets: its own and others drawn by the seed, no two of them the same.
        seed: of that choice.

    Raises:
        ValueError: the learner can't match, or there are fewer different captions than choices.
    """
    if not isinstance(matcher, Matches):
        abilities = ", ".join(capabilities(matcher)) or "nothing but train"
        raise ValueError(f"{type(matcher).__name__} can't match captions with images; what it can do: {abilities}")
    different, own = torch.unique(captions.cpu(), dim=0, return_inverse=True)
    if not 2 <= num_choices <= len(different):
        raise ValueError(
            f"num_choices is {num_choices}: with {len(different)} different captions it must lie between 2 and that"
        )
    device = device_of(matcher)
    picked = []
    with evaluation_mode(matcher), torch.no_grad():
        for start in range(0, len(images), _CHUNK):
            part = slice(start, start + _CHUNK)
            with seeded(seed_for("retrieval", seed, start)):
                choices = _choices(own[part], len(different), num_choices)
            used, place = torch.unique(choices, return_inverse=True)
            scores = matcher.match(images[part].to(device), different[used].to(device)).cpu()
            picked.append(share_of_first(scores.gather(1, place)))
    shares = torch.cat(picked).double()
    return Retrieval(
        share=float(shares.mean()),
        standard_error=float(shares.std(correction=0)) / math.sqrt(len(shares)),
        chance=1.0 / num_choices,
        num_images=len(shares),
    )


def draw_for_captions(learner: Learner, captions: UInt8[Tensor, "n l"], *, seed: int) -> UInt8[Tensor, "n c h w"]:
    """One image for each caption.

    Raises:
        ValueError: the learner does not draw for captions.
    """
    if not (isinstance(learner, Samples) and isinstance(learner, Conditions) and learner.condition_kind == "caption"):
        raise ValueError(
            f"{type(learner).__name__} draws no images for captions: there is nothing to compare with them"
        )
    return draw_samples(learner, len(captions), seed=seed, condition=captions)


def share_of_first(scores: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """1 where the first column is the highest of its row, 1/k where it is one of k that are, 0 elsewhere."""
    highest = scores == scores.amax(1, keepdim=True)
    return highest[:, 0] / highest.sum(1)


def _choices(own: Int64[Tensor, " n"], num_captions: int, num_choices: int) -> Int64[Tensor, "n k"]:
    """For each image, the number of its own caption and then those of others, all different."""
    ranks = torch.rand(len(own), num_captions)
    ranks.scatter_(1, own[:, None], 2.0)  # above all others, so that its own caption comes first
    return ranks.topk(num_choices, dim=1).indices
