"""The generator and the critic of Reed et al. 2016 (arXiv:1605.05396): those of DCGAN, told what an image shows.

Both shorten a caption's embedding by a layer of their own with leaky ReLU. The generator reads it beside z. The critic
repeats it at every position of its smallest map of features, joins the two by a 1x1 convolution and scores the result:

    image 3 x 64 x 64 -> 64 x 32 x 32 -> 128 x 16 x 16 -> 256 x 8 x 8 -> 512 x 4 x 4 --+
                                                                                       +-> 640 x 4 x 4 -> 512 x 4 x 4
    embedding 1024 -> 128 -> 128 x 4 x 4, the same at every position ------------------+
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.nn.initialization import initialised
from gen_dist.nn.normalization import Normalization, constrained, needs_bias, normalization_layer
from gen_dist.nn.resample import num_halvings
from gen_dist.types import DataSpec

_SLOPE = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConditionedShape:
    """The size of one of the two networks.

    Attributes:
        embedding_dim: length of a caption's embedding.
        text_dim: length to which it is shortened.
        channels: at half the image's size; they double with every halving below that.
        base_size: the smallest map's sides are at least so long, and less than twice that.
        normalization: of all inner layers.
        initial_std: of the first weights, or None for He initialisation.
    """

    embedding_dim: int
    text_dim: int
    channels: int
    base_size: int
    normalization: Normalization
    initial_std: float | None

    def text_layer(self) -> nn.Sequential:
        """The layer that shortens an embedding; its first weights are torch's own, as in the authors' code."""
        shorten = nn.Linear(self.embedding_dim, self.text_dim)
        return nn.Sequential(constrained(self.normalization, shorten), nn.LeakyReLU(_SLOPE))

    def layer(self, layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
        """The layer with fresh weights, constrained if the normalisation acts on weights."""
        return constrained(self.normalization, initialised(layer, self.initial_std))


@final
class TextConditionedGenerator(nn.Module):
    """Latents and embeddings to images in [-1, 1]: a projection to the smallest map, then doublings."""

    def __init__(self, shape: TextConditionedShape, latent_dim: int, data: DataSpec) -> None:
        super().__init__()
        kind, depth = shape.normalization, num_halvings(data.height, data.width, shape.base_size)
        height, width, bias = data.height >> depth, data.width >> depth, needs_bias(shape.normalization)
        channels = shape.channels << (depth - 1)
        self.text = shape.text_layer()
        layers: list[nn.Module] = [
            shape.layer(nn.Linear(latent_dim + shape.text_dim, channels * height * width, bias=bias)),
            nn.Unflatten(1, (channels, height, width)),
            normalization_layer(kind, channels),
            nn.ReLU(),
        ]
        for _ in range(depth - 1):
            doubling = nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=bias)
            channels //= 2
            layers += [shape.layer(doubling), normalization_layer(kind, channels), nn.ReLU()]
        last = nn.ConvTranspose2d(channels, data.channels, 4, stride=2, padding=1)
        self.images = nn.Sequential(*layers, initialised(last, shape.initial_std), nn.Tanh())

    def forward(self, latents: Float[Tensor, "b z"], text: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        """One image for each pair."""
        images: Tensor = self.images(torch.cat([latents, self.text(text)], dim=1))
        return images


@final
class TextConditionedCritic(nn.Module):
    """Images and embeddings to scores. What it sees of an image does not depend on the text, so it is computed once."""

    def __init__(self, shape: TextConditionedShape, data: DataSpec) -> None:
        super().__init__()
        kind, depth = shape.normalization, num_halvings(data.height, data.width, shape.base_size)
        bias, channels = needs_bias(kind), shape.channels
        layers = [shape.layer(nn.Conv2d(data.channels, channels, 4, stride=2, padding=1)), nn.LeakyReLU(_SLOPE)]
        for _ in range(depth - 1):
            halving = nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, bias=bias)
            channels *= 2
            layers += [shape.layer(halving), normalization_layer(kind, channels), nn.LeakyReLU(_SLOPE)]
        self.features = nn.Sequential(*layers)
        self.text = shape.text_layer()
        self.joined = nn.Sequential(
            shape.layer(nn.Conv2d(channels + shape.text_dim, channels, 1, bias=bias)),
            normalization_layer(kind, channels),
            nn.LeakyReLU(_SLOPE),
            nn.Flatten(),
            shape.layer(nn.Linear(channels * (data.height >> depth) * (data.width >> depth), 1)),
        )

    def score(self, features: Float[Tensor, "b f i j"], text: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
        """How real the images of these features look as images of what the text says; above 0 for real."""
        repeated = self.text(text)[:, :, None, None].expand(-1, -1, *features.shape[2:])
        scores: Tensor = self.joined(torch.cat([features, repeated.to(features.dtype)], dim=1))
        return scores.squeeze(1)

    def forward(self, images: Float[Tensor, "b c h w"], text: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
        """The score of each image with its text."""
        return self.score(self.features(images), text)
