"""Networks that grow: a generator and a critic in which each doubling of the image has its own layers.

    level         0        1        2        3
    pixels      4x4 --> 8x8 --> 16x16 --> 32x32      generator: latents enter at level 0
                  |        |        |        |
    to_image    [0]      [1]      [2]      [3]       1x1 convolutions, of which the last one or two are in use

The critic is the mirror image, with `from_image` at every level. While a level fades in, the generator's output and the
critic's features are a mixture of the new level's and of the one below (Karras et al. 2018, Figure 2).
"""

import itertools
import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.2  # of leaky ReLU for negative inputs
HE_GAIN = math.sqrt(2.0)
_EPSILON = 1e-8


@final
@dataclass(frozen=True, slots=True)
class Growth:
    """How far networks have grown.

    Attributes:
        level: doublings of the smallest size.
        fade: weight of the highest level against the one below, in [0, 1]; 1 when it has been faded in.
    """

    level: int
    fade: float = 1.0

    @property
    def fading(self) -> bool:
        """Whether the level below has a share in the output."""
        return self.fade < 1.0


@final
class EqualizedLinear(nn.Module):
    """A linear layer whose weights start from N(0, 1) and are scaled when they are used (section 4.1).

    Adam's steps do not depend on a gradient's scale. With all weights of the same size, all layers learn at the same
    relative rate.

    Args:
        inputs: features read.
        outputs: features made.
        gain: standard deviation of the outputs for independent inputs of variance 1.
        bias: whether there is one; it starts at 0.
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float = HE_GAIN, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = gain / math.sqrt(inputs)

    def forward(self, inputs: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """The weights divided by He's constant (He et al. 2015, arXiv:1502.01852), applied."""
        return F.linear(inputs, self.weight * self.scale, self.bias)


@final
class EqualizedConv2d(nn.Module):
    """A convolution that keeps the size, with weights as in `EqualizedLinear`.

    Args:
        inputs: channels read.
        outputs: channels made.
        kernel_size: odd.
        gain: standard deviation of the outputs for independent inputs of variance 1, away from the border.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, *, gain: float = HE_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * kernel_size**2)

    def forward(self, images: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """The convolution with scaled weights."""
        return F.conv2d(images, self.weight * self.scale, self.bias, padding="same")


def pixel_norm(features: Float[Tensor, "b c *place"]) -> Float[Tensor, "b c *place"]:
    """Features divided by their root mean square over channels, at each pixel of each image (section 4.2)."""
    return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + _EPSILON)


@final
class PixelNorm(nn.Module):
    """`pixel_norm` as a layer; it learns nothing."""

    def forward(self, features: Float[Tensor, "b c *place"]) -> Float[Tensor, "b c *place"]:
        """The normalised features."""
        return pixel_norm(features)


def with_minibatch_deviation(features: Float[Tensor, "b c h w"], group_size: int) -> Float[Tensor, "b d h w"]:
    """One more channel that says how much the images of a group differ (section 3).

    The standard deviation over the group of every feature at every pixel, averaged over all of them: one number, which
    every pixel of every image of the group gets. Where `group_size` does not divide the number of images, the largest
    smaller size that does is used.
    """
    num = len(features)
    size = next(size for size in range(min(group_size, num), 0, -1) if num % size == 0)
    precise = features.to(torch.promote_types(features.dtype, torch.float32))
    groups = precise.reshape(size, num // size, *features.shape[1:])
    deviations = (groups.var(dim=0, correction=0) + _EPSILON).sqrt().mean(dim=(1, 2, 3))
    channel = deviations.repeat(size).to(features.dtype)[:, None, None, None]
    return torch.cat([features, channel.expand(-1, 1, *features.shape[2:])], dim=1)


def double(images: Float[Tensor, "b c h w"], times: int = 1) -> Float[Tensor, "b c i j"]:
    """Every pixel repeated, so that both sides are twice as long, so many times."""
    return F.interpolate(images, scale_factor=float(1 << times), mode="nearest") if times else images


def halve(images: Float[Tensor, "b c h w"], times: int = 1) -> Float[Tensor, "b c i j"]:
    """Averages over squares of pixels, so that both sides are half as long, so many times."""
    return F.avg_pool2d(images, 1 << times) if times else images


@final
class GrowingGenerator(nn.Module):
    """Latents to images, at any level.

    Args:
        latent_dim: length of a latent.
        channels: features at each level, the smallest image first.
        smallest: height and width at level 0.
        colours: channels of an image.
    """

    def __init__(self, latent_dim: int, channels: tuple[int, ...], smallest: tuple[int, int], colours: int) -> None:
        super().__init__()
        height, width = smallest
        first = nn.Sequential(
            EqualizedLinear(latent_dim, channels[0] * height * width),
            nn.Unflatten(1, (channels[0], height, width)),
            nn.LeakyReLU(SLOPE),
            PixelNorm(),
            *_normalized_convolution(channels[0], channels[0]),
        )
        doublings = [
            nn.Sequential(
                nn.Upsample(scale_factor=2), *_normalized_convolution(below, here), *_normalized_convolution(here, here)
            )
            for below, here in itertools.pairwise(channels)
        ]
        self.levels = nn.ModuleList([first, *doublings])
        self.to_image = nn.ModuleList(EqualizedConv2d(here, colours, 1, gain=1.0) for here in channels)

    def forward(self, latents: Float[Tensor, "n z"], growth: Growth) -> Float[Tensor, "n c h w"]:
        """Images of the level's size, around [-1, 1] but not bounded; latents are put on the sphere first."""
        below = features = pixel_norm(latents)
        for level in self.levels[: growth.level + 1]:
            below, features = features, level(features)
        images: Tensor = self.to_image[growth.level](features)
        if growth.fading:
            images = torch.lerp(double(self.to_image[growth.level - 1](below)), images, growth.fade)
        return images

    def active(self, growth: Growth) -> list[nn.Parameter]:
        """The parameters that have a part in such images."""
        modules = [*self.levels[: growth.level + 1], *_in_use(self.to_image, growth)]
        return [parameter for module in modules for parameter in module.parameters()]


@final
class GrowingCritic(nn.Module):
    """Images of any level to one unbounded score each.

    Args:
        channels: features at each level, the smallest image first.
        smallest: height and width at level 0.
        colours: channels of an image.
        group_size: images that are compared with each other (`with_minibatch_deviation`).
        bias: whether the last layer has one.
    """

    def __init__(
        self, channels: tuple[int, ...], smallest: tuple[int, int], colours: int, *, group_size: int, bias: bool
    ) -> None:
        super().__init__()
        self.group_size = group_size
        self.from_image = nn.ModuleList(
            nn.Sequential(EqualizedConv2d(colours, here, 1), nn.LeakyReLU(SLOPE)) for here in channels
        )
        self.levels = nn.ModuleList(
            nn.Sequential(*_convolution(here, here), *_convolution(here, below), nn.AvgPool2d(2))
            for below, here in itertools.pairwise(channels)
        )
        self.top = nn.Sequential(
            *_convolution(channels[0] + 1, channels[0]),
            nn.Flatten(),
            EqualizedLinear(channels[0] * math.prod(smallest), channels[0]),
            nn.LeakyReLU(SLOPE),
        )
        self.score = EqualizedLinear(channels[0], 1, gain=1.0, bias=bias)

    def forward(self, images: Float[Tensor, "n c h w"], growth: Growth) -> Float[Tensor, " n"]:
        """Scores of images of the level's size."""
        scores: Tensor = self.score(self.features(images, growth)).squeeze(1)
        return scores

    def features(self, images: Float[Tensor, "n c h w"], growth: Growth) -> Float[Tensor, "n f"]:
        """What the last layer reads."""
        features: Tensor = self.from_image[growth.level](images)
        for number in range(growth.level, 0, -1):
            features = self.levels[number - 1](features)
            if number == growth.level and growth.fading:
                below = self.from_image[number - 1](halve(images))
                features = torch.lerp(below, features, growth.fade)
        read: Tensor = self.top(with_minibatch_deviation(features, self.group_size))
        return read

    def active(self, growth: Growth) -> list[nn.Parameter]:
        """The parameters that have a part in the scores of such images."""
        modules = [*_in_use(self.from_image, growth), *self.levels[: growth.level], self.top, self.score]
        return [parameter for module in modules for parameter in module.parameters()]


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return EqualizedConv2d(inputs, outputs, 3), nn.LeakyReLU(SLOPE)


def _normalized_convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return *_convolution(inputs, outputs), PixelNorm()


def _in_use(layers: nn.ModuleList, growth: Growth) -> list[nn.Module]:
    """The layers between features and images that are in use: one, or two while a level fades in."""
    lowest = growth.level - 1 if growth.fading else growth.level
    return list(layers[lowest : growth.level + 1])
