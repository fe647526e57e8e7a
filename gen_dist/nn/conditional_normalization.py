"""Normalisation whose gain and offset depend on something else: a class, or a part of the latent vector."""

from typing import Literal, final

from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.normalization import normalization_layer
from gen_dist.nn.spectral import orthogonal, spectrally_normalized

BareNormalization = Literal["batch", "group", "none"]


@final
class ConditionalNormalization(nn.Module):
    """Normalised features times 1 + gain(condition), plus offset(condition); one of each per channel and image.

    Class-conditional batch normalisation (Dumoulin et al. 2017, arXiv:1610.07629; de Vries et al. 2017,
    arXiv:1707.00683) with both maps linear, as in Brock et al. 2018 (arXiv:1809.11096): so the condition may be an
    embedding that all layers of a network share. The maps are spectrally normalised and have no bias.
    """

    def __init__(
        self, kind: BareNormalization, num_channels: int, condition_dim: int, *, num_singular_values: int = 1
    ) -> None:
        super().__init__()
        self.norm = normalization_layer(kind, num_channels, affine=False)
        self.gain = spectrally_normalized(
            orthogonal(nn.Linear(condition_dim, num_channels, bias=False)), num_singular_values
        )
        self.offset = spectrally_normalized(
            orthogonal(nn.Linear(condition_dim, num_channels, bias=False)), num_singular_values
        )

    def forward(self, features: Float[Tensor, "b c h w"], condition: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Features with mean offset(condition) and deviation |1 + gain(condition)| in each channel."""
        gain, offset = 1.0 + self.gain(condition), self.offset(condition)
        result: Tensor = self.norm(features) * gain[:, :, None, None] + offset[:, :, None, None]
        return result
