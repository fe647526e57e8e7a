"""How close translations are to their targets: closed forms, and torchmetrics as an independent implementation."""

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from gen_dist.evaluation.fidelity import LARGEST_PSNR, fidelity, psnr, ssim


def pair(num: int, channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Images, and the same with noise."""
    first = torch.randint(0, 256, (num, channels, height, width), dtype=torch.uint8)
    noise = torch.randint(-60, 61, first.shape)
    return first, (first + noise).clamp(0, 255).to(torch.uint8)


def test_an_image_is_as_close_to_itself_as_can_be() -> None:
    images, _ = pair(300, 1, 8, 8)  # more than one chunk
    assert fidelity(images, images) == {"l1": 0.0, "psnr": pytest.approx(LARGEST_PSNR), "ssim": pytest.approx(1.0)}
    assert math.isfinite(LARGEST_PSNR)


def test_a_constant_error_by_hand() -> None:
    dark, bright = (torch.full((2, 3, 12, 12), value, dtype=torch.uint8) for value in (100, 110))
    figures = fidelity(dark, bright)
    assert figures["l1"] == 10.0
    assert figures["psnr"] == pytest.approx(20.0 * math.log10(25.5))
    c1 = (0.01 * 255.0) ** 2
    assert figures["ssim"] == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1))


def test_an_error_below_rounding_counts_as_rounding() -> None:
    """One grey level in one of 64 pixels is a smaller error than rounding makes in all of them."""
    image = torch.full((1, 1, 8, 8), 9, dtype=torch.uint8)
    other = image.clone()
    other[0, 0, 3, 3] = 10
    assert psnr(image, other).item() == LARGEST_PSNR == pytest.approx(10.0 * math.log10(255.0**2 / (1.0 / 12.0)))
    other += 1
    assert psnr(image, other).item() < LARGEST_PSNR


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (3, 3, 16, 21), (4, 1, 11, 12)])
def test_torchmetrics_finds_the_same(shape: tuple[int, int, int, int]) -> None:
    first, second = pair(*shape)
    _, places = structural_similarity_index_measure(
        first.double(), second.double(), data_range=255.0, reduction="none", return_full_image=True
    )
    inside = places[:, :, 5:-5, 5:-5].mean(dim=(1, 2, 3))  # without those for which it mirrors the image
    torch.testing.assert_close(ssim(first, second), inside, rtol=1e-9, atol=1e-9)  # float64 sums in another order
    expected = peak_signal_noise_ratio(
        first.double(), second.double(), data_range=255.0, dim=(1, 2, 3), reduction="none"
    )
    torch.testing.assert_close(psnr(first, second), expected, rtol=1e-6, atol=0.0)  # its logarithms are of float32


@pytest.mark.parametrize(("side", "window"), [(8, 7), (7, 7), (3, 3), (2, 1), (1, 1)])
def test_a_small_image_is_compared_through_a_smaller_window(side: int, window: int) -> None:
    """Against the definition, written with loops over the places of the window."""
    first, second = pair(2, 1, side, side)
    reach = window // 2
    line = torch.tensor([math.exp(-(d**2) / (2 * 1.5**2)) for d in range(-reach, reach + 1)], dtype=torch.float64)
    weights = line[:, None] * line
    weights = weights / weights.sum()
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    for number in range(2):
        values = []
        for row in range(side - window + 1):
            for column in range(side - window + 1):
                x, y = (i[number, 0, row : row + window, column : column + window].double() for i in (first, second))
                mx, my = (weights * x).sum(), (weights * y).sum()
                vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                cxy = (weights * (x - mx) * (y - my)).sum()
                values.append((2 * mx * my + c1) * (2 * cxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
        assert ssim(first, second)[number].item() == pytest.approx(torch.stack(values).mean().item(), abs=1e-9)


def test_every_pair_counts_alike() -> None:
    first, second = pair(257, 1, 8, 8)
    parts = [fidelity(first[i : i + 1], second[i : i + 1]) for i in range(257)]
    for name, value in fidelity(first, second).items():
        assert value == pytest.approx(sum(part[name] for part in parts) / 257)


def test_nothing_is_not_close_to_anything() -> None:
    images, _ = pair(2, 1, 8, 8)
    with pytest.raises(ValueError, match="no images to compare"):
        fidelity(images[:0], images[:0])
