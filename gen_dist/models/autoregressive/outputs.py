"""What a network's outputs say about a pixel: the distribution of its values, colour by colour."""

from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from gen_dist.losses.likelihood import bernoulli_log_probability, binarise, categorical_log_probability


@runtime_checkable
class PixelDistribution(Protocol):
    """How network outputs become probabilities of a pixel's values.

    Attributes:
        num_outputs: outputs of the network for each pixel.
        likelihood_of: "8-bit" images, or "binary" images thresholded at 128.
        asks_for_each_colour: whether the network must be asked again once a colour is known (colours are masked inside
            the network), or once per pixel (the distribution itself couples the colours).
    """

    @property
    def num_outputs(self) -> int: ...
    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]: ...
    @property
    def asks_for_each_colour(self) -> bool: ...
    def log_probability(
        self, outputs: Float[Tensor, "b o h w"], values: Integer[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Log-probability of each pixel in nats, its colours together."""
        ...

    def draw(
        self, outputs: Float[Tensor, "b o"], pixel: Integer[Tensor, "b c"], colour: int, temperature: float
    ) -> Integer[Tensor, " b"]:
        """Draw one colour of a pixel, given its earlier colours."""
        ...


@final
class Softmax:
    """Any distribution over `num_values` values, for each colour; outputs lie colour by colour."""

    likelihood_of: Literal["8-bit", "binary"] = "8-bit"
    asks_for_each_colour = True

    def __init__(self, num_colours: int, num_values: int = 256) -> None:
        self.num_colours, self.num_values = num_colours, num_values

    @property
    def num_outputs(self) -> int:
        """A logit for each value of each colour."""
        return self.num_colours * self.num_values

    def log_probability(
        self, outputs: Float[Tensor, "b o h w"], values: Integer[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """The sum of the colours' log-probabilities."""
        num, _, height, width = outputs.shape
        logits = outputs.reshape(num, self.num_colours, self.num_values, height, width).transpose(1, 2)
        return categorical_log_probability(logits, values).sum(1)

    def draw(
        self, outputs: Float[Tensor, "b o"], pixel: Integer[Tensor, "b c"], colour: int, temperature: float
    ) -> Integer[Tensor, " b"]:
        """Draw from the logits divided by `temperature`."""
        logits = outputs.reshape(len(outputs), self.num_colours, self.num_values)[:, colour] / temperature
        # Contiguous: the noise is laid out like the probabilities, and equal draws need equal noise.
        return torch.multinomial(logits.softmax(1).contiguous(), 1)[:, 0]


@final
class Bernoulli:
    """Black or white: one logit for each colour."""

    likelihood_of: Literal["8-bit", "binary"] = "binary"
    asks_for_each_colour = True

    def __init__(self, num_colours: int) -> None:
        self.num_outputs = num_colours

    def log_probability(
        self, outputs: Float[Tensor, "b o h w"], values: Integer[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """The sum of the colours' log-probabilities, of values thresholded at 128."""
        return bernoulli_log_probability(outputs, binarise(values, outputs.dtype)).sum(1)

    def draw(
        self, outputs: Float[Tensor, "b o"], pixel: Integer[Tensor, "b c"], colour: int, temperature: float
    ) -> Integer[Tensor, " b"]:
        """Draw 0 or 255."""
        return (255 * (outputs[:, colour] / temperature).sigmoid().bernoulli()).to(torch.uint8)


def pixel_distribution(likelihood: Literal["softmax", "bernoulli"], num_colours: int) -> PixelDistribution:
    """The distribution that a configuration names."""
    return Bernoulli(num_colours) if likelihood == "bernoulli" else Softmax(num_colours)
