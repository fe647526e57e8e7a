"""Arithmetic with what latents mean: the average of some that show A, minus that of B, plus that of C.

Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks"
(arXiv:1511.06434), Fig. 7: single latents gave unstable results, averages of three exemplars did not.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gen_dist.distributed.seeding import seed_for, seeded

NUM_RESULTS = 9
CENTRE = NUM_RESULTS // 2
"""Which of the results is shown without noise: the middle one of a square."""


def combine(plus: Float[Tensor, "a z"], minus: Float[Tensor, "b z"], also: Float[Tensor, "c z"]) -> Float[Tensor, " z"]:
    """mean(plus) - mean(minus) + mean(also)."""
    return plus.mean(0) - minus.mean(0) + also.mean(0)


def variations(
    latent: Float[Tensor, " z"], scale: Float[Tensor, " z"] | float, *, seed: int
) -> Float[Tensor, f"{NUM_RESULTS} z"]:
    """The latent in the middle of copies with noise, uniform between -scale and scale in every dimension."""
    results = latent.repeat(NUM_RESULTS, 1)
    with seeded(seed_for("variations", seed)):
        noise = scale * (2.0 * torch.rand(results.shape, dtype=torch.float64) - 1.0)
    noise[CENTRE] = 0.0
    return (results.double() + noise.to(results.device)).to(results.dtype)


def exemplars(probabilities: Float[Tensor, "n k"], label: int, num: int) -> Int64[Tensor, " m"]:
    """Which `num` images show a class best: the classifier names it for them, with the highest probability.

    Args:
        probabilities: of each class, by a classifier.
        label: the class.
        num: how many; fewer are returned where fewer are named so.
    """
    named = (probabilities.argmax(1) == label).nonzero().flatten()
    order = probabilities[named, label].argsort(descending=True, stable=True)
    return named[order[:num]]
