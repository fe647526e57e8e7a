"""Self-attention over the places of an image: what a convolution of small kernels can't see.

H. Zhang, I. Goodfellow, D. Metaxas, A. Odena (2018): Self-Attention Generative Adversarial Networks, arXiv:1805.08318.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.spectral import orthogonal, spectrally_normalized


@final
class SelfAttention(nn.Module):
    """y = gain * o(x) + x, where o mixes the values of all places by a softmax over query-key products.

    Queries and keys have an eighth of the channels, values half of them. Keys and values are halved in size by a
    maximum over squares of 2 x 2, as in the authors' code of BigGAN: a quarter of the memory. The gain starts at 0, so
    the network starts as one without attention.

    The softmax is written out: torch's fused attention has no second derivative, which a penalty on slopes needs.
    """

    def __init__(self, num_channels: int, *, num_singular_values: int = 1) -> None:
        super().__init__()
        self.num_keys, self.num_values = max(1, num_channels // 8), max(1, num_channels // 2)

        def pointwise(inputs: int, outputs: int) -> nn.Conv2d:
            return spectrally_normalized(orthogonal(nn.Conv2d(inputs, outputs, 1, bias=False)), num_singular_values)

        self.query = pointwise(num_channels, self.num_keys)
        self.key = pointwise(num_channels, self.num_keys)
        self.value = pointwise(num_channels, self.num_values)
        self.output = pointwise(self.num_values, num_channels)
        self.pool = nn.MaxPool2d(2)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The same features with those of other places mixed in."""
        height, width = inputs.shape[2:]
        queries = self.query(inputs).flatten(2)
        keys, values = self.pool(self.key(inputs)).flatten(2), self.pool(self.value(inputs)).flatten(2)
        shares = torch.softmax(queries.transpose(1, 2) @ keys, dim=2)
        mixed = (values @ shares.transpose(1, 2)).unflatten(2, (height, width))
        result: Tensor = self.gain * self.output(mixed) + inputs
        return result
