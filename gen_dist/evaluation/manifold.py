"""Improved precision and recall: is what is drawn realistic, and is what is real drawn?

Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models" (arXiv:1904.06991).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

ROWS_PER_BLOCK = 256
"""Rows of the distance matrix that are held at a time."""


@dataclass(frozen=True, slots=True)
class Manifold:
    """The manifold of a set of features: the union of balls around them, each reaching its k-th nearest neighbour."""

    features: Float64[Tensor, "n f"]
    radii: Float64[Tensor, " n"]


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Two shares in [0, 1].

    Attributes:
        precision: share of samples that lie on the manifold of the data.
        recall: share of the data that lies on the manifold of the samples.
    """

    precision: float
    recall: float


def manifold(features: Float[Tensor, "n f"], nearest_k: int) -> Manifold:
    """The manifold that a set of features spans.

    Raises:
        ValueError: there are not more than `nearest_k` rows, so that no k-th neighbour exists.
    """
    if len(features) <= nearest_k:
        raise ValueError(
            f"nearest_k is {nearest_k}: it must be smaller than the number of images, which is {len(features)}"
        )
    features = features.double()
    # Of all rows the nearest to a row is the row itself, so the k-th neighbour is the (k + 1)-th smallest distance.
    blocks = [_distances(block, features) for block in torch.split(features, ROWS_PER_BLOCK)]
    radii = [block.topk(nearest_k + 1, dim=1, largest=False).values[:, -1] for block in blocks]
    return Manifold(features, torch.cat(radii))


def precision_recall(reference: Manifold, samples: Manifold) -> PrecisionRecall:
    """Precision and recall of samples against a reference (Eq. 1 and 2)."""
    realistic = torch.zeros(len(samples.features), dtype=torch.bool, device=samples.features.device)
    drawn = []
    rows = torch.split(reference.features, ROWS_PER_BLOCK)
    for block, radii in zip(rows, torch.split(reference.radii, ROWS_PER_BLOCK), strict=True):
        distances = _distances(block, samples.features)
        realistic |= (distances <= radii[:, None]).any(dim=0)
        drawn.append((distances <= samples.radii).any(dim=1))
    return PrecisionRecall(float(realistic.double().mean()), float(torch.cat(drawn).double().mean()))


def _distances(first: Float64[Tensor, "n f"], second: Float64[Tensor, "m f"]) -> Float64[Tensor, "n m"]:
    # By matrix products: at 2048 features the exact differences would take minutes. In float64 the error is far below
    # any distance between different images.
    return torch.cdist(first, second, compute_mode="use_mm_for_euclid_dist")
