"""The baseline that every generator must beat: a Gaussian fitted to the pixels."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from gen_dist.distributed.seeding import seed_for, seeded

CHUNK = 1024


def gaussian_samples(images: UInt8[Tensor, "n c h w"], num: int, *, seed: int) -> UInt8[Tensor, "m c h w"]:
    """Draw from the Gaussian with the mean and full covariance of some images; clamped and rounded to 8 bit.

    With the centred images as rows of X and a standard normal z of n entries, z X / (n - 1)^½ has exactly the
    images' covariance: no matrix of (pixels x pixels) is formed, so large images are no obstacle.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(images) < 2:
        raise ValueError(f"a Gaussian is fitted to at least 2 images, not to {len(images)}")
    mean = images.double().mean(dim=0).flatten()
    with seeded(seed_for("gaussian", seed)):
        noise = torch.randn(num, len(images))
    samples = mean.expand(num, -1).clone()
    for weights, chunk in zip(torch.split(noise, CHUNK, dim=1), torch.split(images, CHUNK), strict=True):
        samples += (weights @ (chunk.flatten(1) - mean).float()) / (len(images) - 1) ** 0.5
    return samples.round().clamp(0, 255).to(torch.uint8).view(num, *images.shape[1:])
