"""A generator from images to images of the same size that keeps them at a fraction of it for most of its layers.

J. Johnson, A. Alahi, L. Fei-Fei (2016): Perceptual Losses for Real-Time Style Transfer and Super-Resolution,
arXiv:1603.08155, as Zhu et al. 2017, arXiv:1703.10593, use it: reflection padding and instance normalisation.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn


@final
class ResidualBlock(nn.Module):
    """Two convolutions of 3 x 3 whose output is added to their input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1, padding_mode="reflect", bias=False),
            nn.InstanceNorm2d(features, affine=True),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1, padding_mode="reflect", bias=False),
            nn.InstanceNorm2d(features, affine=True),
        )

    def forward(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The sum."""
        output: Tensor = values + self.layers(values)
        return output


def residual_generator(
    num_inputs: int, num_outputs: int, *, features: int, num_halvings: int, num_blocks: int, height: int, width: int
) -> nn.Sequential:
    """Images in [-1, 1] to images in [-1, 1] of the same size.

    7 x 7 to `features`, halvings that double the features, residual blocks, doublings that halve them, 7 x 7 to the
    output. Of a 256 x 256 image with 64 features, two halvings and nine blocks the paper writes
    c7s1-64, d128, d256, nine R256, u128, u64, c7s1-3.

    Raises:
        ValueError: the images can't be halved so often, or are too small for reflections at their borders.
    """
    smallest, multiple = min(height, width), 1 << num_halvings
    if height % multiple or width % multiple or smallest < 4 or smallest >> num_halvings < 2:
        raise ValueError(
            f"images of {height} x {width} pixels can't be halved {num_halvings} times down to 2 pixels or more "
            "(model.num_halvings): choose fewer halvings, or resize the images to a multiple of "
            f"{multiple} that is {max(4, 2 * multiple)} or more"
        )
    layers: list[nn.Module] = [
        nn.Conv2d(num_inputs, features, 7, padding=3, padding_mode="reflect", bias=False),
        nn.InstanceNorm2d(features, affine=True),
        nn.ReLU(),
    ]
    for _ in range(num_halvings):
        layers += [
            nn.Conv2d(features, 2 * features, 3, stride=2, padding=1, bias=False),
            nn.InstanceNorm2d(2 * features, affine=True),
            nn.ReLU(),
        ]
        features *= 2
    layers += [ResidualBlock(features) for _ in range(num_blocks)]
    for _ in range(num_halvings):
        layers += [
            nn.ConvTranspose2d(features, features // 2, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.InstanceNorm2d(features // 2, affine=True),
            nn.ReLU(),
        ]
        features //= 2
    return nn.Sequential(*layers, nn.Conv2d(features, num_outputs, 7, padding=3, padding_mode="reflect"), nn.Tanh())
