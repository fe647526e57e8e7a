"""Mixtures of a few bumps as the distribution of a value: few enough outputs for a dense network."""

import math
from typing import Literal, final

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from gen_dist.losses.likelihood import (
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    discretised_logistic_log_probability,
    gaussian_log_density,
    sample_logistic,
)
from gen_dist.types import from_signed, to_signed


@final
class GaussianMixture:
    """A mixture of Gaussians for each colour, over dequantised values scaled to [-1, 1] (arXiv:1306.0186, Eq. 5)."""

    likelihood_of: Literal["8-bit", "binary"] = "8-bit"
    asks_for_each_colour = True

    def __init__(self, num_colours: int, num_components: int) -> None:
        self.num_colours, self.num_components = num_colours, num_components

    @property
    def num_outputs(self) -> int:
        """A logit, a mean and a log-scale for each component of each colour."""
        return 3 * self.num_components * self.num_colours

    def initial_bias(self) -> Float[Tensor, " o"]:
        """Outputs for one colour: components side by side over [-1, 1]."""
        return _side_by_side(self.num_components)

    def log_probability(
        self, outputs: Float[Tensor, "b o h w"], values: Integer[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Log-density of the values with uniform noise in [0, 1) added: a lower bound of their log-probability."""
        continuous = values.to(outputs.dtype)
        return self.log_density(outputs, continuous + torch.rand_like(continuous)).sum(1)

    def log_density(
        self, outputs: Float[Tensor, "b o h w"], values: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h w"]:
        """Log-density of each value in [0, 256], in nats."""
        log_weight, mean, log_scale = _split(outputs, self.num_colours)
        scaled = (values / 128.0 - 1.0)[:, :, None].expand_as(mean)
        return torch.logsumexp(log_weight + gaussian_log_density(mean, log_scale, scaled), 2) - math.log(128.0)

    def draw(
        self, outputs: Float[Tensor, "b o"], pixel: Integer[Tensor, "b c"], colour: int, temperature: float
    ) -> Integer[Tensor, " b"]:
        """Draw a value and round it down to its bin; what lies outside goes to the outermost bins."""
        mean, log_scale = _draw_component(outputs, self.num_colours, colour, temperature)
        value = mean + temperature * log_scale.exp() * torch.randn_like(mean)
        return (128.0 * (value + 1.0)).floor().clamp(0, 255).to(torch.uint8)


@final
class LogisticMixture:
    """A mixture of logistics for each colour, each integrated over the bins of 8-bit values (arXiv:1701.05517, Eq. 2).

    Colours are coupled by the network and not by the distribution.
    """

    likelihood_of: Literal["8-bit", "binary"] = "8-bit"
    asks_for_each_colour = True

    def __init__(self, num_colours: int, num_components: int) -> None:
        self.num_colours, self.num_components = num_colours, num_components

    @property
    def num_outputs(self) -> int:
        """A logit, a mean and a log-scale for each component of each colour."""
        return 3 * self.num_components * self.num_colours

    def initial_bias(self) -> Float[Tensor, " o"]:
        """Outputs for one colour: components side by side over [-1, 1]."""
        return _side_by_side(self.num_components)

    def log_probability(
        self, outputs: Float[Tensor, "b o h w"], values: Integer[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """The sum of the colours' log-probabilities."""
        log_weight, mean, log_scale = _split(outputs, self.num_colours)
        scaled = to_signed(values, outputs.dtype)[:, :, None].expand_as(mean)
        each = log_weight + discretised_logistic_log_probability(mean, log_scale, scaled)
        return torch.logsumexp(each, 2).sum(1)

    def draw(
        self, outputs: Float[Tensor, "b o"], pixel: Integer[Tensor, "b c"], colour: int, temperature: float
    ) -> Integer[Tensor, " b"]:
        """Draw a value and round it to the nearest 8-bit one."""
        mean, log_scale = _draw_component(outputs, self.num_colours, colour, temperature)
        return from_signed(sample_logistic(mean, log_scale + math.log(temperature)))


def _split(
    outputs: Float[Tensor, "b o h w"], num_colours: int
) -> tuple[Float[Tensor, "b c k h w"], Float[Tensor, "b c k h w"], Float[Tensor, "b c k h w"]]:
    """Log-weights that sum to one, means, and clamped log-scales of every component."""
    num, _, height, width = outputs.shape
    logits, mean, log_scale = outputs.reshape(num, num_colours, 3, -1, height, width).unbind(2)
    return logits.log_softmax(2), mean, log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)


def _draw_component(
    outputs: Float[Tensor, "b o"], num_colours: int, colour: int, temperature: float
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Mean and log-scale of a component that is drawn from the logits over `temperature`."""
    logits, mean, log_scale = outputs.reshape(len(outputs), num_colours, 3, -1)[:, colour].unbind(1)
    chosen = torch.multinomial((logits / temperature).softmax(1).contiguous(), 1)
    return mean.gather(1, chosen)[:, 0], log_scale.gather(1, chosen)[:, 0].clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)


def _side_by_side(num_components: int) -> Float[Tensor, " o"]:
    centre = (2.0 * torch.arange(num_components) + 1.0) / num_components - 1.0
    log_scale = torch.full((num_components,), -math.log(num_components))
    return torch.cat([torch.zeros(num_components), centre, log_scale])
