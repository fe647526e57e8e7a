"""Images as sequences of values in the order in which they are drawn: by row, column and colour, for dense networks."""

from jaxtyping import Float
from torch import Tensor

from gen_dist.types import DataSpec


def to_sequence(inputs: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
    """The values of each image in the order in which they are drawn."""
    return inputs.permute(0, 2, 3, 1).flatten(1)


def from_sequence(outputs: Float[Tensor, "b d o"], data: DataSpec) -> Float[Tensor, "b co h w"]:
    """What a network says about each value, as outputs of each pixel: colour by colour."""
    num, _, per_value = outputs.shape
    by_pixel = outputs.reshape(num, data.height, data.width, data.channels * per_value)
    return by_pixel.permute(0, 3, 1, 2)
