"""Log-probabilities of images under the distributions that decoders and autoregressive models put on pixels."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

NATS_PER_BIT = math.log(2.0)
# Of a logistic on [-1, 1]: at the lower end nearly all mass lies in one of 256 bins, at the upper end each bin has as
# much as any other. Beyond them a scale could only overflow.
MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 7.0


def binarise(images: UInt8[Tensor, "*shape"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """Binary images, 0.0 or 1.0, thresholded at 128."""
    return (images >= 128).to(dtype)


def bits_per_dimension(nats: Float[Tensor, "*batch"], num_dimensions: int) -> Float[Tensor, "*batch"]:
    """Negative log-probabilities in nats per image as bits per dimension."""
    return nats / (num_dimensions * NATS_PER_BIT)


def bernoulli_log_probability(
    logits: Float[Tensor, "*shape"], values: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Log-probability of each binary value (0.0 or 1.0) in nats."""
    return -F.binary_cross_entropy_with_logits(logits, values, reduction="none")


def categorical_log_probability(
    logits: Float[Tensor, "b k c h w"], values: Integer[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """Log-probability of each value (0..k-1) in nats; the classes are the second dimension."""
    return -F.cross_entropy(logits, values.long(), reduction="none")


def gaussian_log_density(
    mean: Float[Tensor, "*shape"], log_scale: Float[Tensor, "*shape"], values: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Log-density of each value in nats; `log_scale` is the logarithm of the standard deviation."""
    standardised = (values - mean) * torch.exp(-log_scale)
    return -0.5 * standardised.square() - log_scale - 0.5 * math.log(2.0 * math.pi)


def standard_normal_log_density(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Log-density of each value under N(0, 1) in nats."""
    return -0.5 * values.square() - 0.5 * math.log(2.0 * math.pi)


def discretised_logistic_log_probability(
    mean: Float[Tensor, "*shape"], log_scale: Float[Tensor, "*shape"], values: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Log-probability of 8-bit values under a logistic distribution that is integrated over each value's bin.

    Salimans, Karpathy, Chen and Kingma 2017, arXiv:1701.05517, Eq. 2. The outermost bins reach to infinity, so the
    256 probabilities sum to 1. With a > b the two ends of a bin in units of the scale,

        sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)),

    whose logarithm has no cancellation; the published implementation falls back to a density there instead.

    Args:
        mean: on the scale of `values`; it may lie outside [-1, 1].
        log_scale: logarithm of the logistic's scale; clamped to [-7, 7].
        values: 8-bit values scaled to [-1, 1] by `to_signed`.
    """
    return logistic_bin_log_probability(mean, torch.exp(-log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)), values)


def logistic_bin_log_probability(
    mean: Float[Tensor, "*shape"], inverse_scale: Float[Tensor, "*shape"], values: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """What `discretised_logistic_log_probability` does, for scales that need no clamp; all shapes broadcast."""
    half_bin = 1.0 / 255.0
    upper = (values - mean + half_bin) * inverse_scale
    lower = (values - mean - half_bin) * inverse_scale
    log_below_upper = F.logsigmoid(upper)
    log_above_lower = F.logsigmoid(-lower)
    inside = log_below_upper + log_above_lower + torch.log(-torch.expm1(-2.0 * half_bin * inverse_scale))
    lowest, highest = values < -1.0 + half_bin, values > 1.0 - half_bin
    return torch.where(lowest, log_below_upper, torch.where(highest, log_above_lower, inside))


def discretised_gaussian_log_probability(
    mean: Float[Tensor, "*shape"], log_scale: Float[Tensor, "*shape"], values: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Log-probability of 8-bit values under a normal distribution that is integrated over each value's bin.

    The outermost bins reach to infinity, so the 256 probabilities sum to 1. A bin above the mean is mirrored to below
    it: there the two ends' logarithms differ where both probabilities would be 1.

    Args:
        mean: on the scale of `values`; it may lie outside [-1, 1].
        log_scale: logarithm of the standard deviation.
        values: 8-bit values scaled to [-1, 1] by `to_signed`.
    """
    half_bin = 1.0 / 255.0
    inverse_scale = torch.exp(-log_scale)
    upper = (values - mean + half_bin) * inverse_scale
    lower = (values - mean - half_bin) * inverse_scale
    mirrored = upper + lower > 0.0
    log_upper = torch.special.log_ndtr(torch.where(mirrored, -lower, upper))
    log_lower = torch.special.log_ndtr(torch.where(mirrored, -upper, lower))
    inside = log_upper + torch.log(-torch.expm1(log_lower - log_upper))
    lowest, highest = values < -1.0 + half_bin, values > 1.0 - half_bin
    above = torch.where(highest, torch.special.log_ndtr(-lower), inside)
    return torch.where(lowest, torch.special.log_ndtr(upper), above)


def sample_logistic(mean: Float[Tensor, "*shape"], log_scale: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A draw from each logistic distribution, from torch's global generator."""
    uniform = torch.rand_like(mean).clamp(1e-7, 1.0 - 1e-7)
    return mean + torch.exp(log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)) * torch.logit(uniform)
