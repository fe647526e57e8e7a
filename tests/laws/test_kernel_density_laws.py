"""Kernel density: scikit-learn's density, and the bandwidth that suits images which are left out."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity as PublicKernelDensity
from torch import Tensor

from gen_dist.models.baseline.kernel_density import KernelDensity, KernelDensityConfig
from gen_dist.types import DataSpec, ImageBatch

DOUBLE = torch.float64


def images(num: int) -> Tensor:
    """Correlated pixels in the middle of the range."""
    random = torch.Generator().manual_seed(4)
    values = 128.0 + 12.0 * torch.randn(num, 6, generator=random) @ torch.randn(6, 6, generator=random)
    return values.round().clamp(0, 255).to(torch.uint8).reshape(num, 1, 2, 3)


def points(num: int) -> Tensor:
    torch.manual_seed(1)
    return 128.0 + 40.0 * torch.randn(num, 6, dtype=DOUBLE)


def fitted(config: KernelDensityConfig, data: Tensor) -> KernelDensity:
    torch.manual_seed(0)
    model = config.build(DataSpec(channels=1, height=2, width=3))
    model.prepare(ImageBatch(images=data))
    return model


def test_kernel_density_is_scikit_learn_s() -> None:
    model = fitted(KernelDensityConfig(num_images=60), images(40))  # with room to spare
    public = PublicKernelDensity(bandwidth=float(model.bandwidth)).fit(images(40).flatten(1).numpy() + 0.5)
    expected = torch.from_numpy(public.score_samples(points(9).numpy()))
    torch.testing.assert_close(model.log_density(points(9)), expected)


def test_the_bandwidth_is_the_best_for_images_that_are_left_out() -> None:
    """Against scikit-learn's density of each image, with noise, under all others."""
    data = images(30)
    config = KernelDensityConfig(num_images=30, min_bandwidth=4.0, max_bandwidth=64.0, num_bandwidths=5)
    model = fitted(config, data)
    torch.manual_seed(6)
    noisy = data.flatten(1).double() + torch.rand(30, 6, dtype=DOUBLE)
    centres = data.flatten(1).numpy() + 0.5
    widths = [4.0, 8.0, 16.0, 32.0, 64.0]
    expected = [
        np.mean(
            [
                PublicKernelDensity(bandwidth=width)
                .fit(np.delete(centres, i, 0))
                .score_samples(noisy[i : i + 1].numpy())
                for i in range(30)
            ]
        )
        for width in widths
    ]
    torch.manual_seed(6)
    found = model.left_out_log_density(data.flatten(1), torch.tensor(widths, dtype=DOUBLE))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=DOUBLE))
    assert float(model.bandwidth) == pytest.approx(widths[int(np.argmax(expected))])
    assert 0 < int(np.argmax(expected)) < 4  # neither end of the grid
