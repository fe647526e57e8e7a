"""A mixture of discretised logistics as the distribution of a pixel (arXiv:1701.05517, Sec. 2.1)."""

from typing import Literal, final

from jaxtyping import Float, Integer
from torch import Tensor

from gen_dist.losses.logistic_mixture import (
    draw_from_mixture,
    mixture_log_probability,
    mixture_of,
    num_mixture_parameters,
)
from gen_dist.types import from_signed, to_signed


@final
class LogisticMixture:
    """A `PixelDistribution` whose colours are coupled inside the mixture, so the network is asked once per pixel."""

    likelihood_of: Literal["8-bit", "binary"] = "8-bit"
    asks_for_each_colour = False

    def __init__(self, num_colours: int, num_components: int) -> None:
        self.num_colours, self.num_components = num_colours, num_components

    @property
    def num_outputs(self) -> int:
        """Component by component: a logit, a mean and a log-scale for each colour, couplings."""
        return num_mixture_parameters(self.num_colours, self.num_components)

    def log_probability(
        self, outputs: Float[Tensor, "b o h w"], values: Integer[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Log-probability of each pixel's colours together."""
        mixture = mixture_of(outputs, self.num_colours, self.num_components)
        return mixture_log_probability(mixture, to_signed(values, outputs.dtype))

    def draw(
        self, outputs: Float[Tensor, "b o"], pixel: Integer[Tensor, "b c"], colour: int, temperature: float
    ) -> Integer[Tensor, " b"]:
        """Draw one colour given its earlier ones; logits are divided by `temperature`, scales multiplied."""
        mixture = mixture_of(outputs, self.num_colours, self.num_components, temperature=temperature)
        return from_signed(draw_from_mixture(mixture, to_signed(pixel[:, :colour], outputs.dtype)))
