"""Drawing images: the same seed gives the same pixels, whatever else the process does."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import UInt8
from torch import Tensor

from gen_dist.capabilities import Samples, capabilities
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.learner import Learner

CHUNK = 64
"""Images drawn at a time. The noise of a chunk depends on its number, so another size gives other images."""


def draw_samples(
    learner: Learner,
    num: int,
    *,
    seed: int,
    condition: Tensor | None = None,
    temperature: float = 1.0,
    chunk: int = CHUNK,
) -> UInt8[Tensor, "n c h w"]:
    """Draw images in evaluation mode, on the learner's device; they are returned on the CPU.

    The learner's mode and torch's global generators are as they were afterwards. The first images do not depend on
    `num`, but for those of the last chunk.

    Args:
        learner: must be able to sample.
        num: how many images, 1 or more.
        seed: the noise of chunk c is a function of (seed, c).
        condition: one row per image (labels, text), for learners that take one.
        temperature: scale of the randomness, 1 for the model's own distribution.
        chunk: images drawn at a time.

    Raises:
        ValueError: the learner can't sample, or an argument is out of range.
    """
    if not isinstance(learner, Samples):
        abilities = ", ".join(capabilities(learner)) or "nothing but train"
        raise ValueError(f"{type(learner).__name__} can't draw images; what it can do: {abilities}")
    if num < 1:
        raise ValueError(f"num is {num}: draw at least 1 image")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}: it must be positive")
    if condition is not None and len(condition) != num:
        raise ValueError(f"condition has {len(condition)} rows for {num} images: give one row per image")
    images = []
    with evaluation_mode(learner), torch.no_grad():
        for index, start in enumerate(range(0, num, chunk)):
            size = min(chunk, num - start)
            rows = None if condition is None else condition[start : start + size].to(device_of(learner))
            with seeded(seed_for("sample", seed, index)):
                images.append(learner.sample(size, condition=rows, temperature=temperature).cpu())
    return torch.cat(images)


@contextmanager
def evaluation_mode(learner: Learner) -> Iterator[None]:
    """Evaluation mode inside the block; every module's own mode is restored after it."""
    modes = [(module, module.training) for module in learner.modules()]
    learner.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(learner: Learner) -> torch.device:
    """Where a learner's parameters lie, or its buffers if it has none; the CPU for one without any."""
    tensors = itertools.chain(learner.parameters(), learner.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))
