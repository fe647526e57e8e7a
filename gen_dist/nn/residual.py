"""Residual blocks that double or halve an image, with a weight of bounded slope in every layer.

Gulrajani et al. 2017 (arXiv:1704.00028) and Miyato et al. 2018 (arXiv:1802.05957), as in Brock et al. 2018
(arXiv:1809.11096, Fig. 15).

        doubling                                        halving
        x ---------------------------+                  x ---------------------------+
        | normalise, ReLU            | 1 x 1            | ReLU (but for images)      | halve
        | double, 3 x 3              | double           | 3 x 3, ReLU, 3 x 3         | 1 x 1
        | normalise, ReLU, 3 x 3     |                  | halve                      |
        + <--------------------------+                  + <--------------------------+
"""

from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.conditional_normalization import BareNormalization, ConditionalNormalization
from gen_dist.nn.spectral import orthogonal, spectrally_normalized


@final
class DoublingBlock(nn.Module):
    """Twice the height and width, by repetition of pixels; its normalisations follow a condition."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        condition_dim: int,
        *,
        normalization: BareNormalization,
        num_singular_values: int = 1,
    ) -> None:
        super().__init__()
        num = num_singular_values
        self.first_norm = ConditionalNormalization(normalization, inputs, condition_dim, num_singular_values=num)
        self.first = _convolution(inputs, outputs, 3, num)
        self.second_norm = ConditionalNormalization(normalization, outputs, condition_dim, num_singular_values=num)
        self.second = _convolution(outputs, outputs, 3, num)
        self.shortcut = _convolution(inputs, outputs, 1, num)

    def forward(
        self, features: Float[Tensor, "b i h w"], condition: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b o 2*h 2*w"]:
        """Features of an image of twice the size."""
        hidden = F.relu(self.first_norm(features, condition))
        hidden = self.first(F.interpolate(hidden, scale_factor=2))
        hidden = self.second(F.relu(self.second_norm(hidden, condition)))
        # A 1 x 1 convolution sees one pixel, so it may come before the doubling: the same numbers for a quarter of the
        # work.
        result: Tensor = hidden + F.interpolate(self.shortcut(features), scale_factor=2)
        return result


@final
class HalvingBlock(nn.Module):
    """Half the height and width, by averages over squares of 2 x 2, or the same size.

    Args:
        inputs: channels.
        outputs: channels, also between the two convolutions.
        halves: whether the size is halved.
        activated: whether the inputs are features, which pass a ReLU first, and not an image.
        num_singular_values: that spectral normalisation follows.
    """

    def __init__(
        self, inputs: int, outputs: int, *, halves: bool, activated: bool = True, num_singular_values: int = 1
    ) -> None:
        super().__init__()
        self.halves, self.activated = halves, activated
        self.first = _convolution(inputs, outputs, 3, num_singular_values)
        self.second = _convolution(outputs, outputs, 3, num_singular_values)
        keeps = inputs == outputs and not halves
        self.shortcut = nn.Identity() if keeps else _convolution(inputs, outputs, 1, num_singular_values)

    def forward(self, features: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o p q"]:
        """Features of an image of half the size, or of the same."""
        hidden = self.first(F.relu(features) if self.activated else features)
        hidden = self.second(F.relu(hidden))
        if self.halves:
            # Averages commute with a 1 x 1 convolution: halved first, the shortcut costs a quarter.
            hidden, features = F.avg_pool2d(hidden, 2), F.avg_pool2d(features, 2)
        result: Tensor = hidden + self.shortcut(features)
        return result


def _convolution(inputs: int, outputs: int, kernel_size: int, num_singular_values: int) -> nn.Conv2d:
    """A convolution that keeps the size, from orthogonal weights."""
    layer = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2)
    return spectrally_normalized(orthogonal(layer), num_singular_values)
