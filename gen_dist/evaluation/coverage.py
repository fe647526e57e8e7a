"""Simple signs of collapse that need no distribution: how much samples vary, and how many classes they reach."""

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

COVERED_SHARE = 0.1
"""A class counts as covered when samples reach it at least this often, relative to its share of the data.

A tenth tells a lost mode from a rare one: at 500 samples of 10 equal classes it asks for 5 samples of each, and a
class that is drawn at half the right rate falls below that less than once in a million evaluations.
"""


def pixel_deviation(images: UInt8[Tensor, "n c h w"]) -> float:
    """Standard deviation of each pixel over the images, averaged over pixels, on the 8-bit scale."""
    return float(images.double().std(dim=0, correction=0).mean())


def diversity(samples: UInt8[Tensor, "n c h w"], reference_deviation: float) -> float:
    """How much samples vary relative to the data: 1 as much, 0 when all samples are equal.

    Args:
        samples: the images to judge.
        reference_deviation: `pixel_deviation` of the data.
    """
    return pixel_deviation(samples) / max(reference_deviation, torch.finfo(torch.float32).tiny)


def class_shares(classes: Int64[Tensor, " n"], num_classes: int) -> list[float]:
    """Share of each class among the images."""
    counts = torch.bincount(classes, minlength=num_classes).double()
    return (counts / len(classes)).tolist()


def modes_covered(sample_shares: list[float], data_shares: list[float]) -> float:
    """Share of the data's classes that samples reach, each at least `COVERED_SHARE` times as often as the data does.

    It says how much is missing and nothing about quality: noise that a classifier scatters over all classes covers
    them too.
    """
    present = [(drawn, real) for drawn, real in zip(sample_shares, data_shares, strict=True) if real > 0]
    return sum(drawn >= COVERED_SHARE * real for drawn, real in present) / len(present)
