"""How close images are to the very images that they should be: mean absolute difference, PSNR and SSIM.

SSIM: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli (2004): Image Quality Assessment: From Error Visibility to
Structural Similarity. torchmetrics computes the same inside an image and the tests hold it against this; importing it
takes longer than judging, and it counts places at the border too, where it mirrors the image.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float64, UInt8
from torch import Tensor

LARGEST_PSNR = 10.0 * math.log10(255.0**2 * 12.0)
"""PSNR in dB (58.9) of images whose only error is that of rounding to 8 bits, of variance 1/12: equal images get it,
since infinity has no mean."""

_WINDOW = 11
_WINDOW_STD = 1.5
_LUMINANCE_STABILITY, _CONTRAST_STABILITY = 0.01, 0.03
_CHUNK = 256


def fidelity(images: UInt8[Tensor, "n c h w"], targets: UInt8[Tensor, "n c h w"]) -> dict[str, float]:
    """Means over pairs: "l1" in grey levels of 255, "psnr" in dB, "ssim" in [-1, 1].

    Raises:
        ValueError: there are no images.
    """
    assert images.shape == targets.shape, "one target per image"
    if not len(images):
        raise ValueError("there are no images to compare with targets")
    totals = torch.zeros(3, dtype=torch.float64)
    for first, second in zip(torch.split(images, _CHUNK), torch.split(targets, _CHUNK), strict=True):
        difference = first.double() - second.double()
        l1 = difference.abs().mean(dim=(1, 2, 3))
        totals += torch.stack([l1.sum(), psnr(first, second).sum(), ssim(first, second).sum()])
    l1_mean, psnr_mean, ssim_mean = (totals / len(images)).tolist()
    return {"l1": l1_mean, "psnr": psnr_mean, "ssim": ssim_mean}


def psnr(images: UInt8[Tensor, "n c h w"], targets: UInt8[Tensor, "n c h w"]) -> Float64[Tensor, " n"]:
    """Peak signal-to-noise ratio of each pair in dB: 10 log10(255² / mean squared error), at most `LARGEST_PSNR`."""
    error = (images.double() - targets.double()).square().mean(dim=(1, 2, 3))
    return (10.0 * torch.log10(255.0**2 / error)).clamp(max=LARGEST_PSNR)


def ssim(images: UInt8[Tensor, "n c h w"], targets: UInt8[Tensor, "n c h w"]) -> Float64[Tensor, " n"]:
    """Structural similarity of each pair, averaged over channels and over the places of a Gaussian window.

    The window has 11 x 11 pixels and a standard deviation of 1.5, and lies wholly inside the image; images with a
    shorter side take the largest odd window that fits, cut out of the same Gaussian.
    """
    x, y = images.double(), targets.double()
    window = _window(min(_WINDOW, *images.shape[2:]))
    mean_x, mean_y = _smooth(x, window), _smooth(y, window)
    variance_x = _smooth(x * x, window) - mean_x.square()
    variance_y = _smooth(y * y, window) - mean_y.square()
    covariance = _smooth(x * y, window) - mean_x * mean_y
    c1, c2 = (_LUMINANCE_STABILITY * 255.0) ** 2, (_CONTRAST_STABILITY * 255.0) ** 2
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2.0 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _window(largest: int) -> Float64[Tensor, " k"]:
    """One-dimensional Gaussian weights over the largest odd number of pixels that is not above `largest`."""
    reach = (largest - 1) // 2
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / _WINDOW_STD).square())
    return weights / weights.sum()


def _smooth(values: Float64[Tensor, "n c h w"], window: Float64[Tensor, " k"]) -> Float64[Tensor, "n c i j"]:
    """Weighted means over the window at every place inside the image: down, then right."""
    flat = values.flatten(0, 1)[:, None]
    flat = F.conv2d(F.conv2d(flat, window[None, None, :, None]), window[None, None, None, :])
    return flat.reshape(*values.shape[:2], *flat.shape[2:])
