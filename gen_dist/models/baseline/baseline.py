"""What all baselines share: a density that is fitted in one go, when the learner is prepared, without a training loop.

Baselines are densities of dequantised images x + u, u uniform in [0, 1) per value, as flows are; so both are scored
alike. What they are fitted to has no need of draws of u: its mean is 1/2 and its variance 1/12, and a fit that takes
just those is the fit to infinitely many draws. Everything is computed and kept in float64.
"""

import sys
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from gen_dist.capabilities import LikelihoodKind
from gen_dist.learner import Learner, Phase, Player
from gen_dist.types import DataSpec, ImageBatch

NOISE_MEAN, NOISE_VARIANCE = 0.5, 1.0 / 12.0
"""Of the uniform noise that dequantises a value."""
ALL_IMAGES = 100_000
"""What "all images" means: more would not change a baseline."""
CHUNK = 4096
"""Images that are worked on at a time."""
_SECONDS_PER_LINE = 2.0


@runtime_checkable
class BaselineConfig(Protocol):
    """What every baseline's configuration says."""

    @property
    def num_images(self) -> int | None:
        """Training images to fit, or None for all up to `ALL_IMAGES`."""


class Baseline(Learner):
    """A density over dequantised images, fitted by `prepare`; nothing moves after that.

    Args:
        config: how many images are fitted.
        data: what the images are.
    """

    def __init__(self, config: BaselineConfig, data: DataSpec) -> None:
        super().__init__()
        self.baseline_config = config
        self.data = data
        self.num_fitted: Tensor
        self.register_buffer("num_fitted", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def fit(self, images: UInt8[Tensor, "n d"]) -> None:
        """Fit the density to these images."""

    @abstractmethod
    def log_density(self, values: Float64[Tensor, "b d"]) -> Float64[Tensor, " b"]:
        """Log-density of dequantised images in [0, 256]; as bins have volume 1, a bound for 8-bit images as it is."""

    @abstractmethod
    def draw(self, num: int, temperature: float) -> Float64[Tensor, "n d"]:
        """Draws from the density whose random part is multiplied by `temperature`."""

    @property
    def players(self) -> Mapping[str, Player]:
        """There are none."""
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        """There are none: the fit is finished when `prepare` returns."""
        return ()

    @property
    def preparation_images(self) -> int | None:
        """As many as are fitted."""
        num_images = self.baseline_config.num_images
        return ALL_IMAGES if num_images is None else num_images

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Fit the density to the batch."""
        self.fit(batch.images.flatten(1))
        self.num_fitted.fill_(len(batch))

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """The density of dequantised images bounds the probability of 8-bit images from below (arXiv:1511.01844)."""
        return "lower bound"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """A baseline models 8-bit images."""
        return "8-bit"

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log-density of the images with uniform noise in [0, 1) added, in nats."""
        values = images.flatten(1).double()
        return self.log_density(values + torch.rand_like(values))

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """The images in whose bins draws from the density end; what falls out of range goes to its edge."""
        if condition is not None:
            raise ValueError(f"a condition was given: this {type(self).__name__} is unconditional")
        return self.to_images(self.draw(num, temperature))

    def to_images(self, values: Float64[Tensor, "n d"]) -> UInt8[Tensor, "n c h w"]:
        """The 8-bit images whose bins hold these values."""
        return values.floor().clamp(0, 255).to(torch.uint8).reshape(-1, *self.data.shape)


def standard_normal(*shape: int, like: Tensor) -> Float64[Tensor, "..."]:
    """Draws from N(0, 1) in float64 on the device of `like`, from torch's global generator."""
    return torch.randn(shape, dtype=torch.float64, device=like.device)


def moments(images: UInt8[Tensor, "n d"]) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "d d"]]:
    """Mean and (maximum-likelihood) covariance of the images with all dequantisation noise there could be."""
    chunks = torch.split(images, CHUNK)
    mean = torch.stack([chunk.double().sum(0) for chunk in chunks]).sum(0) / len(images)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=images.device)
    for chunk in chunks:
        centred = chunk.double() - mean
        scatter += centred.T @ centred
    covariance = scatter / len(images)
    covariance.diagonal().add_(NOISE_VARIANCE)
    return mean + NOISE_MEAN, covariance


def require_images(num_images: int | None, least: int = 1) -> None:
    """Refuse a number of images that is too small to fit.

    Raises:
        ValueError: it is below `least`.
    """
    if num_images is not None and num_images < least:
        raise ValueError(f"model.num_images is {num_images}: it must be at least {least}, or none for all images")


def watched(num_steps: int, description: str) -> Iterator[int]:
    """The steps from 0 on; where stderr is a terminal, a line now and then says how far they are."""
    last = time.monotonic()
    for step in range(num_steps):
        yield step
        if sys.stderr.isatty() and time.monotonic() - last >= _SECONDS_PER_LINE:
            last = time.monotonic()
            print(f"{description}: {step + 1} of at most {num_steps}", file=sys.stderr, flush=True)
