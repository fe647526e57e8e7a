"""Divergences between distributions, in closed form."""

import torch
from jaxtyping import Float
from torch import Tensor


def kl_from_standard_normal(
    mean: Float[Tensor, "*batch z"], log_variance: Float[Tensor, "*batch z"]
) -> Float[Tensor, "*batch"]:
    """KL(N(mean, diag(exp(log_variance))) || N(0, I)) in nats, summed over the last dimension.

    Kingma and Welling 2014, arXiv:1312.6114, Appendix B.
    """
    return 0.5 * (torch.exp(log_variance) + mean.square() - 1.0 - log_variance).sum(-1)
