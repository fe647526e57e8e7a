"""How far the filters of a network are from pointing in different directions."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def filter_overlap(weights: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Sum over weights of the squared products of each two different rows.

    Brock et al. 2018, arXiv:1809.11096: ||W W^T * (1 - I)||^2 (Frobenius) before its factor beta, with one filter
    in each row of W. Unlike full orthogonal regularisation it leaves the filters' lengths alone. It is computed outside
    autocast: products that should vanish are differences of large numbers.

    Args:
        weights: of two dimensions or more each; the first counts the filters.
    """
    device = weights[0].device
    with torch.autocast(device.type, enabled=False):
        parts = []
        for weight in weights:
            rows = weight.flatten(1)
            if len(rows) <= rows.shape[1]:
                products = rows @ rows.t()
                parts.append((products - torch.diag(products.diagonal())).square().sum())
            else:  # W W^T is as long as W^T W, which is smaller: 20 x 20 where a latent enters 24,576 outputs
                lengths = rows.square().sum(dim=1)
                parts.append((rows.t() @ rows).square().sum() - lengths.square().sum())
        return torch.stack(parts).sum()
