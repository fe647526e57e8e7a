"""Inception-v3 as the Fréchet Inception Distance uses it; its weights are a file that the user gives.

Paper: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna (2016), Rethinking the Inception Architecture for
Computer Vision, arXiv:1512.00567. This is the network of the TensorFlow archive inception-2015-12-05, which differs
from later ones: its average pools leave the padding out, and its last block pools by maximum.

Images are resized as TensorFlow 1 did (bilinear, without half-pixel centres) and scaled by (x - 128) / 128, so
features are those of torch-fidelity and torchmetrics.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from gen_dist.evaluation.extractor import Extraction
from gen_dist.evaluation.protocol import ExtractorName

INPUT_PIXELS = 299
CHUNK = 32
"""Images that pass through the network at a time."""


@final
class InceptionExtractor:
    """The 2,048 averaged activations of the last block.

    Args:
        weights: the safetensors file that benchmarks/convert_inception.py writes.
        device: where to compute.

    Raises:
        ValueError: the file is missing, or does not hold exactly this network's weights.
    """

    name: ExtractorName = "inception"

    def __init__(self, weights: Path, device: torch.device | None = None) -> None:
        advice = "make it once with benchmarks/convert_inception.py (docs/evaluation.md says how)"
        try:
            data = weights.read_bytes()
        except FileNotFoundError as error:
            raise ValueError(f"there is no file of Inception weights at {weights}: {advice}") from error
        with torch.device("meta"):  # no initial weights: the file has them all
            network = InceptionV3()
        try:
            network.load_state_dict(load_tensors(data), strict=True, assign=True)
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(f"{weights} does not hold the weights of Inception-v3, {advice}: {error}") from error
        self._network = network.to(device).eval().requires_grad_(False)
        self._device = device
        self.digest = hashlib.sha256(b"TensorFlow 1 bilinear 299, (x - 128) / 128" + data).hexdigest()

    @torch.no_grad()
    def extract(self, images: UInt8[Tensor, "n c h w"]) -> Extraction:
        """See Extractor; grey images are repeated to three channels; there are no classes."""
        chunks = [self._network(chunk.to(self._device)).double().cpu() for chunk in torch.split(images, CHUNK)]
        return Extraction(torch.cat(chunks))


@final
class InceptionV3(nn.Module):
    """The network up to its last average pool; module names are those of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, (3, 3), padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = Convolution(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Convolution(80, 192, (3, 3), padded=False)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, 128)
        self.Mixed_6c = BlockC(768, 160)
        self.Mixed_6d = BlockC(768, 160)
        self.Mixed_6e = BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, average_pool)
        self.Mixed_7c = BlockE(2048, maximum_pool)

    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b 2048"]:
        """Features of 8-bit images of any size, grey or RGB."""
        pixels = resize_like_tensorflow(images.expand(-1, 3, -1, -1).float(), INPUT_PIXELS)
        hidden = (pixels - 128.0) / 128.0
        hidden = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(hidden)))
        hidden = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halving_pool(hidden)))
        hidden = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(halving_pool(hidden))))
        hidden = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(hidden)))))
        hidden = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(hidden)))
        features: Float[Tensor, "b 2048"] = hidden.mean(dim=(2, 3))
        return features


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU. Padding keeps the size, except where the stride is 2."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: tuple[int, int], *, stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, eps=1e-3)

    def forward(self, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The activations."""
        return F.relu(self.bn(self.conv(hidden)), inplace=True)


class BlockA(nn.Module):
    """35 x 35 pixels: 1x1, 5x5, two 3x3, pool."""

    def __init__(self, width: int, pool_features: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(width, 64, (1, 1))
        self.branch5x5_1 = Convolution(width, 48, (1, 1))
        self.branch5x5_2 = Convolution(48, 64, (5, 5))
        self.branch3x3dbl_1 = Convolution(width, 64, (1, 1))
        self.branch3x3dbl_2 = Convolution(64, 96, (3, 3))
        self.branch3x3dbl_3 = Convolution(96, 96, (3, 3))
        self.branch_pool = Convolution(width, pool_features, (1, 1))

    def forward(self, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The four branches, concatenated."""
        five = self.branch5x5_2(self.branch5x5_1(hidden))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(hidden)))
        return torch.cat([self.branch1x1(hidden), five, three, self.branch_pool(average_pool(hidden))], dim=1)


class BlockB(nn.Module):
    """From 35 x 35 to 17 x 17 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch3x3 = Convolution(width, 384, (3, 3), stride=2)
        self.branch3x3dbl_1 = Convolution(width, 64, (1, 1))
        self.branch3x3dbl_2 = Convolution(64, 96, (3, 3))
        self.branch3x3dbl_3 = Convolution(96, 96, (3, 3), stride=2)

    def forward(self, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The three branches, concatenated."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(hidden)))
        return torch.cat([self.branch3x3(hidden), double, halving_pool(hidden)], dim=1)


class BlockC(nn.Module):
    """17 x 17 pixels: 7x7 convolutions, each factored into a row and a column."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(width, 192, (1, 1))
        self.branch7x7_1 = Convolution(width, inner, (1, 1))
        self.branch7x7_2 = Convolution(inner, inner, (1, 7))
        self.branch7x7_3 = Convolution(inner, 192, (7, 1))
        self.branch7x7dbl_1 = Convolution(width, inner, (1, 1))
        self.branch7x7dbl_2 = Convolution(inner, inner, (7, 1))
        self.branch7x7dbl_3 = Convolution(inner, inner, (1, 7))
        self.branch7x7dbl_4 = Convolution(inner, inner, (7, 1))
        self.branch7x7dbl_5 = Convolution(inner, 192, (1, 7))
        self.branch_pool = Convolution(width, 192, (1, 1))

    def forward(self, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 768 h w"]:
        """The four branches, concatenated."""
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(hidden)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(hidden)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(hidden), single, double, self.branch_pool(average_pool(hidden))], dim=1)


class BlockD(nn.Module):
    """From 17 x 17 to 8 x 8 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch3x3_1 = Convolution(width, 192, (1, 1))
        self.branch3x3_2 = Convolution(192, 320, (3, 3), stride=2)
        self.branch7x7x3_1 = Convolution(width, 192, (1, 1))
        self.branch7x7x3_2 = Convolution(192, 192, (1, 7))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1))
        self.branch7x7x3_4 = Convolution(192, 192, (3, 3), stride=2)

    def forward(self, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The three branches, concatenated."""
        three = self.branch3x3_2(self.branch3x3_1(hidden))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(hidden)))
        return torch.cat([three, self.branch7x7x3_4(seven), halving_pool(hidden)], dim=1)


class BlockE(nn.Module):
    """8 x 8 pixels: 3x3 convolutions as a row beside a column."""

    def __init__(self, width: int, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = Convolution(width, 320, (1, 1))
        self.branch3x3_1 = Convolution(width, 384, (1, 1))
        self.branch3x3_2a = Convolution(384, 384, (1, 3))
        self.branch3x3_2b = Convolution(384, 384, (3, 1))
        self.branch3x3dbl_1 = Convolution(width, 448, (1, 1))
        self.branch3x3dbl_2 = Convolution(448, 384, (3, 3))
        self.branch3x3dbl_3a = Convolution(384, 384, (1, 3))
        self.branch3x3dbl_3b = Convolution(384, 384, (3, 1))
        self.branch_pool = Convolution(width, 192, (1, 1))

    def forward(self, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2048 h w"]:
        """The branches, concatenated."""
        single = self.branch3x3_1(hidden)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(hidden))
        branches = [
            self.branch1x1(hidden),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(self.pool(hidden)),
        ]
        return torch.cat(branches, dim=1)


def average_pool(hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Mean over 3 x 3 neighbours, of which those outside the image do not count."""
    return F.avg_pool2d(hidden, 3, stride=1, padding=1, count_include_pad=False)


def maximum_pool(hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Largest of 3 x 3 neighbours."""
    return F.max_pool2d(hidden, 3, stride=1, padding=1)


def halving_pool(hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
    """Largest of 3 x 3 neighbours at every second pixel."""
    return F.max_pool2d(hidden, 3, stride=2)


def resize_like_tensorflow(images: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c {side} {side}"]:
    """Bilinear resize to side x side as TensorFlow 1 did: output pixel i reads the input at i * size / side."""
    return _stretch(_stretch(images, side, dim=2), side, dim=3)


def _stretch(images: Float[Tensor, "b c h w"], side: int, dim: int) -> Float[Tensor, "b c i j"]:
    size = images.shape[dim]
    position = torch.arange(side, device=images.device, dtype=images.dtype) * (size / side)
    low = position.floor().long().clamp_max(size - 1)
    high = (low + 1).clamp_max(size - 1)
    weight = position - low
    weight = weight[:, None] if dim == 2 else weight
    return torch.lerp(images.index_select(dim, low), images.index_select(dim, high), weight)
