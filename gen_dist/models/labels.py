"""Labels of class-conditional models: those of a batch, and those that images are drawn for."""

import torch
from jaxtyping import Int64
from torch import Tensor

from gen_dist.types import ImageBatch


def labels_of(batch: ImageBatch, num_classes: int) -> Int64[Tensor, " b"] | None:
    """The labels that a model with so many classes is trained on; None for an unconditional one (0 classes).

    Raises:
        ValueError: they are needed, and the images have none.
    """
    if not num_classes:
        return None
    if batch.labels is None:
        raise ValueError("a class-conditional model needs labels, and these images have none")
    return batch.labels


def labels_to_draw(
    num: int, condition: Tensor | None, num_classes: int, device: torch.device
) -> Int64[Tensor, " b"] | None:
    """The labels that `num` images are drawn for: those given, or classes in equal shares.

    Raises:
        ValueError: labels are given to an unconditional model (0 classes), or what is given are no labels.
    """
    if not num_classes:
        if condition is not None:
            raise ValueError("a condition was given: this model is unconditional")
        return None
    if condition is None:
        return torch.randint(num_classes, (num,), device=device)
    if condition.is_floating_point() or condition.min() < 0 or condition.max() >= num_classes:
        raise ValueError(f"condition is {condition.tolist()}: give labels, integers from 0 to {num_classes - 1}")
    return condition.to(device, torch.int64)
