"""Whether images show what their captions say: how often a matcher picks each image's own caption out of several.

The score is only as good as the matcher, so it is read between two anchors: what the same matcher makes of real
images, and chance. A matcher whose text encoder a generator was trained with is partial to it: judge with another one.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from gen_dist.bundle.bundle import Bundle
from gen_dist.capabilities import Conditions, Matches, Samples, capabilities
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.learner import Learner
from gen_dist.sampling.draw import device_of, draw_samples, evaluation_mode
from gen_dist.types import ImageBatch

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


@final
class CaptionJudge:
    """Judges what models draw for the captions of real images. Made once: what it makes of the images is kept.

    Args:
        matcher: judges.
        real: images with their captions.

    Attributes:
        matcher_digest: identifies the matcher.
        anchors: the figure of the real images ("retrieval_real").

    Raises:
        ValueError: the model can't match, or the images have no captions, or too few different ones.
    """

    def __init__(self, matcher: Bundle, real: ImageBatch) -> None:
        if real.captions is None:
            raise ValueError("a matcher was given, and the images have no captions to match: leave it out")
        self.matcher_digest = matcher.digest
        self._matcher = matcher.learner
        self._captions = real.captions
        self.anchors = {"retrieval_real": retrieval(self._matcher, real.images, real.captions).share}

    def figures(self, learner: Learner, *, seed: int) -> dict[str, float]:
        """How well the learner draws for the captions; nothing for one that does not draw for captions."""
        if not draws_for_captions(learner):
            return {}
        images = draw_samples(learner, len(self._captions), seed=seed, condition=self._captions)
        found = retrieval(self._matcher, images, self._captions)
        return {"retrieval": found.share, "retrieval_error": found.standard_error}


def draws_for_captions(learner: Learner) -> bool:
    """Whether a learner can be asked for what a caption says."""
    return isinstance(learner, Samples) and isinstance(learner, Conditions) and learner.condition_kind == "caption"


def share_of_first(scores: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """1 where the first column is the highest of its row, 1/k where it is one of k that are, 0 elsewhere."""
    highest = scores == scores.amax(1, keepdim=True)
    return highest[:, 0] / highest.sum(1)


def _choices(own: Int64[Tensor, " n"], num_captions: int, num_choices: int) -> Int64[Tensor, "n k"]:
    """For each image, the number of its own caption and then those of others, all different."""
    ranks = torch.rand(len(own), num_captions)
    ranks.scatter_(1, own[:, None], 2.0)  # above all others, so that its own caption comes first
    return ranks.topk(num_choices, dim=1).indices
