"""What a decoder's output says about pixels: the distribution of their values."""

import math
from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gen_dist.losses.likelihood import (
    bernoulli_log_probability,
    binarise,
    discretised_logistic_log_probability,
    gaussian_log_density,
    sample_logistic,
)
from gen_dist.types import DataSpec, from_signed, from_unit, to_signed

PixelDecoderName = Literal["bernoulli", "discretised-logistic", "gaussian"]


@runtime_checkable
class PixelDecoder(Protocol):
    """How a decoder's output (b k h w) becomes probabilities of an image's values."""

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """What the distribution is over: "8-bit" images, or "binary" images thresholded at 128."""
        ...

    @property
    def outputs_per_value(self) -> int:
        """Outputs of the network for each value of an image, k / c."""
        ...

    @property
    def is_dequantised(self) -> bool:
        """Whether the distribution is a density of images with uniform noise added."""
        ...

    def targets(self, images: UInt8[Tensor, "b c h w"], dtype: torch.dtype) -> Float[Tensor, "b c h w"]:
        """What the distribution is over, and what an encoder sees; uniform noise is added if it is a density."""
        ...

    def centres(self, images: UInt8[Tensor, "b c h w"], dtype: torch.dtype) -> Float[Tensor, "b c h w"]:
        """The mean of `targets`: the same without noise."""
        ...

    def log_likelihood(
        self, output: Float[Tensor, "b k h w"], targets: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, " b"]:
        """Log-probability (or density) of whole images in nats."""
        ...

    def mean(self, output: Float[Tensor, "b k h w"]) -> UInt8[Tensor, "b c h w"]:
        """The mean of the distribution; grey for a Bernoulli decoder too."""
        ...

    def draw(self, output: Float[Tensor, "b k h w"]) -> UInt8[Tensor, "b c h w"]:
        """A draw from the distribution, from torch's global generator."""
        ...


@final
class BernoulliDecoder:
    """Black or white: a logit for each value."""

    likelihood_of: Literal["8-bit", "binary"] = "binary"
    outputs_per_value = 1
    is_dequantised = False

    def targets(self, images: UInt8[Tensor, "b c h w"], dtype: torch.dtype) -> Float[Tensor, "b c h w"]:
        """0.0 or 1.0."""
        return binarise(images, dtype)

    def centres(self, images: UInt8[Tensor, "b c h w"], dtype: torch.dtype) -> Float[Tensor, "b c h w"]:
        """The same."""
        return binarise(images, dtype)

    def log_likelihood(
        self, output: Float[Tensor, "b k h w"], targets: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, " b"]:
        """The sum over all values (arXiv:1312.6114, Appendix C.1)."""
        return bernoulli_log_probability(output, targets).flatten(1).sum(1)

    def mean(self, output: Float[Tensor, "b k h w"]) -> UInt8[Tensor, "b c h w"]:
        """The probability of white, as a grey value."""
        return from_unit(output.sigmoid())

    def draw(self, output: Float[Tensor, "b k h w"]) -> UInt8[Tensor, "b c h w"]:
        """0 or 255."""
        return from_unit(output.sigmoid().bernoulli())


@final
class DiscretisedLogisticDecoder:
    """256 values: a logistic's mean and log-scale for each (arXiv:1701.05517, Eq. 2)."""

    likelihood_of: Literal["8-bit", "binary"] = "8-bit"
    outputs_per_value = 2
    is_dequantised = False

    def targets(self, images: UInt8[Tensor, "b c h w"], dtype: torch.dtype) -> Float[Tensor, "b c h w"]:
        """Values in [-1, 1]."""
        return to_signed(images, dtype)

    def centres(self, images: UInt8[Tensor, "b c h w"], dtype: torch.dtype) -> Float[Tensor, "b c h w"]:
        """The same."""
        return to_signed(images, dtype)

    def log_likelihood(
        self, output: Float[Tensor, "b k h w"], targets: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, " b"]:
        """The sum over all values."""
        mean, log_scale = output.chunk(2, dim=1)
        return discretised_logistic_log_probability(mean, log_scale, targets).flatten(1).sum(1)

    def mean(self, output: Float[Tensor, "b k h w"]) -> UInt8[Tensor, "b c h w"]:
        """The logistics' means."""
        return from_signed(output.chunk(2, dim=1)[0])

    def draw(self, output: Float[Tensor, "b k h w"]) -> UInt8[Tensor, "b c h w"]:
        """A draw from each logistic, rounded to the bin that it falls in."""
        mean, log_scale = output.chunk(2, dim=1)
        return from_signed(sample_logistic(mean, log_scale))


@final
class GaussianDecoder:
    """A normal density of dequantised values: a mean and a log-scale for each (arXiv:1312.6114, Appendix C.2)."""

    likelihood_of: Literal["8-bit", "binary"] = "8-bit"
    outputs_per_value = 2
    is_dequantised = True

    def targets(self, images: UInt8[Tensor, "b c h w"], dtype: torch.dtype) -> Float[Tensor, "b c h w"]:
        """Values in [-1, 1], anywhere in their bins."""
        values = images.to(dtype)
        return (values + torch.rand_like(values)) / 128.0 - 1.0

    def centres(self, images: UInt8[Tensor, "b c h w"], dtype: torch.dtype) -> Float[Tensor, "b c h w"]:
        """The centres of the bins."""
        return (images.to(dtype) + 0.5) / 128.0 - 1.0

    def log_likelihood(
        self, output: Float[Tensor, "b k h w"], targets: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, " b"]:
        """The sum over all values: a density."""
        mean, log_scale = output.chunk(2, dim=1)
        return gaussian_log_density(mean, log_scale, targets).flatten(1).sum(1)

    def mean(self, output: Float[Tensor, "b k h w"]) -> UInt8[Tensor, "b c h w"]:
        """The 8-bit values in whose bins the Gaussians' means lie."""
        return self._values(output.chunk(2, dim=1)[0])

    def draw(self, output: Float[Tensor, "b k h w"]) -> UInt8[Tensor, "b c h w"]:
        """The 8-bit values in whose bins a draw from each Gaussian ends."""
        mean, log_scale = output.chunk(2, dim=1)
        return self._values(mean + log_scale.exp() * torch.randn_like(mean))

    def _values(self, dequantised: Float[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h w"]:
        """Rounded down, as noise in [0, 1) was added; what lies outside goes to the outermost bins."""
        return (128.0 * (dequantised + 1.0)).floor().clamp(0, 255).to(torch.uint8)


def pixel_decoder(name: PixelDecoderName) -> PixelDecoder:
    """The distribution that a configuration names."""
    match name:
        case "bernoulli":
            return BernoulliDecoder()
        case "discretised-logistic":
            return DiscretisedLogisticDecoder()
        case "gaussian":
            return GaussianDecoder()


def log_bin_volume(decoder: PixelDecoder, data: DataSpec) -> float:
    """Logarithm of the volume of one 8-bit image among the dequantised images in [-1, 1]; 0 without them."""
    return data.num_dimensions * math.log(2.0 / 256.0) if decoder.is_dequantised else 0.0
