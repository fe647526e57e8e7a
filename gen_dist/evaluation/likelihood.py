"""How probable a learner finds images that it never saw, for learners that can say."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from gen_dist.capabilities import EstimatesPartition, LikelihoodKind, Scores
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.learner import Learner
from gen_dist.sampling.draw import device_of, evaluation_mode

CHUNK = 128
"""Images scored at a time. An estimate's noise depends on it."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Average code length of images under a model.

    Attributes:
        metrics: "bits_per_dimension" of 8-bit images, or "nats" per image for models of binary images; each with its
            standard error over the images ("bits_per_dimension_error", "nats_error"). Lower is better. Where log Z was
            estimated, its standard error in nats too ("log_partition_error"), which all images share.
        kind: "exact"; "lower bound" of the log-probability, so the figure is an upper bound of the true one; or
            "estimate".
    """

    metrics: dict[str, float]
    kind: LikelihoodKind


def likelihood(learner: Learner, images: UInt8[Tensor, "n c h w"], *, seed: int) -> Likelihood | None:
    """Score images with a learner; None when it can't.

    Args:
        learner: is put into evaluation mode meanwhile.
        images: never seen in training.
        seed: of what is drawn for a bound or an estimate.
    """
    if not isinstance(learner, Scores):
        return None
    scores = []
    with evaluation_mode(learner), torch.no_grad():
        for index, chunk in enumerate(torch.split(images, CHUNK)):
            with seeded(seed_for("likelihood", seed, index)):
                scores.append(learner.log_probability(chunk.to(device_of(learner))).double().cpu())
    nats = -torch.cat(scores)
    mean, error = float(nats.mean()), float(nats.std() / math.sqrt(len(nats)))
    metrics = {}
    if isinstance(learner, EstimatesPartition) and learner.log_partition_error >= 0:
        metrics["log_partition_error"] = float(learner.log_partition_error)
    if learner.likelihood_of == "binary":
        return Likelihood({"nats": mean, "nats_error": error, **metrics}, learner.likelihood_kind)
    per_dimension = 1.0 / (math.log(2.0) * images[0].numel())
    bits = {"bits_per_dimension": mean * per_dimension, "bits_per_dimension_error": error * per_dimension}
    return Likelihood({**bits, **metrics}, learner.likelihood_kind)
