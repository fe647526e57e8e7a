"""The two residual networks of a BigGAN (Brock et al. 2018, arXiv:1809.11096)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gen_dist.nn.attention import SelfAttention
from gen_dist.nn.conditional_normalization import BareNormalization
from gen_dist.nn.normalization import normalization_layer
from gen_dist.nn.residual import DoublingBlock, HalvingBlock
from gen_dist.nn.spectral import orthogonal, spectrally_normalized
from gen_dist.types import DataSpec


@final
class Generator(nn.Module):
    """Latents to images in [-1, 1]: a linear map to a small image, then doublings.

    A latent is z, cut into equal chunks, and after it the embedding of a class, if there are classes. The first chunk
    enters the linear map; each further one, beside the embedding, conditions the normalisations of one block. If z is
    not hierarchical it enters the linear map whole, and the embedding alone conditions.

    Args:
        data: what the images are.
        channels: of the small image, then of each block's output.
        latent_dim: length of z.
        hierarchical: whether z is cut; then one more than the number of blocks must divide its length.
        num_classes: 0 for no classes.
        embedding_dim: of the classes, shared by all blocks.
        attention_size: height of the features that self-attention follows, or None for none.
        normalization: of all blocks and of the output.
        num_singular_values: that spectral normalisation follows in each layer.
    """

    def __init__(
        self,
        data: DataSpec,
        channels: Sequence[int],
        *,
        latent_dim: int,
        hierarchical: bool,
        num_classes: int,
        embedding_dim: int,
        attention_size: int | None,
        normalization: BareNormalization,
        num_singular_values: int,
    ) -> None:
        super().__init__()
        depth, num = len(channels) - 1, num_singular_values
        height, width = data.height >> depth, data.width >> depth
        self.latent_dim = latent_dim
        self.hierarchical = hierarchical
        self.base = (channels[0], height, width)
        chunk_dim = latent_dim // (depth + 1) if hierarchical else latent_dim
        condition_dim = (chunk_dim if hierarchical else 0) + (embedding_dim if num_classes else 0)
        # Not spectrally normalised, as in the authors' code.
        self.embedding = orthogonal(nn.Embedding(num_classes, embedding_dim)) if num_classes else None
        self.projection = spectrally_normalized(orthogonal(nn.Linear(chunk_dim, channels[0] * height * width)), num)
        self.blocks = nn.ModuleList()
        self.attentions = nn.ModuleList()
        for inputs, outputs in pairwise(channels):
            block = DoublingBlock(inputs, outputs, condition_dim, normalization=normalization, num_singular_values=num)
            height *= 2
            attends = height == attention_size
            self.blocks.append(block)
            self.attentions.append(SelfAttention(outputs, num_singular_values=num) if attends else nn.Identity())
        last = orthogonal(nn.Conv2d(channels[-1], data.channels, 3, padding=1))
        self.output = nn.Sequential(
            normalization_layer(normalization, channels[-1]), nn.ReLU(), spectrally_normalized(last, num), nn.Tanh()
        )

    def forward(self, latents: Float[Tensor, "b l"]) -> Float[Tensor, "b c h w"]:
        """Images of the latents that `with_classes` makes."""
        noise, embedded = latents[:, : self.latent_dim], latents[:, self.latent_dim :]
        first, *rest = noise.chunk(len(self.blocks) + 1, dim=1) if self.hierarchical else [noise]
        conditions = [torch.cat([embedded, chunk], dim=1) for chunk in rest] or [embedded] * len(self.blocks)
        features = self.projection(first).unflatten(1, self.base)
        for block, attention, condition in zip(self.blocks, self.attentions, conditions, strict=True):
            features = attention(block(features, condition))
        images: Tensor = self.output(features)
        return images

    def with_classes(self, noise: Float[Tensor, "b z"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b l"]:
        """Latents: z and, if there are classes, the embeddings of these labels."""
        if self.embedding is None:
            return noise
        return torch.cat([noise, self.embedding(labels)], dim=1)

    @property
    def filters(self) -> list[Tensor]:
        """The weights that orthogonal regularisation keeps apart: all but biases and the embedding, before division."""
        embedding = None if self.embedding is None else self.embedding.weight
        return [weight for weight in self.parameters() if weight.ndim > 1 and weight is not embedding]


@final
class Critic(nn.Module):
    """Images to one raw score each, with a part that asks whether the image is of its class (a projection).

    Miyato and Koyama 2018, arXiv:1802.05637: score = linear(h) + <embedding(class), h> where h are the features
    summed over all places.

    Args:
        data: what the images are.
        channels: of each block's output.
        num_halvings: so many blocks, from the first, halve the image; the others keep its size.
        num_classes: 0 for no classes.
        attention_size: height of the features that self-attention follows, the first time they have it, or None.
        has_bias: of the score, if its zero means anything.
        num_singular_values: that spectral normalisation follows in each layer.
    """

    def __init__(
        self,
        data: DataSpec,
        channels: Sequence[int],
        *,
        num_halvings: int,
        num_classes: int,
        attention_size: int | None,
        has_bias: bool,
        num_singular_values: int,
    ) -> None:
        super().__init__()
        num, height = num_singular_values, data.height
        self.blocks = nn.Sequential()
        for index, (inputs, outputs) in enumerate(zip((data.channels, *channels), channels, strict=False)):
            halves = index < num_halvings
            block = HalvingBlock(inputs, outputs, halves=halves, activated=index > 0, num_singular_values=num)
            self.blocks.append(block)
            height //= 1 + halves
            if halves and height == attention_size:
                self.blocks.append(SelfAttention(outputs, num_singular_values=num))
        self.linear = spectrally_normalized(orthogonal(nn.Linear(channels[-1], 1, bias=has_bias)), num)
        self.embedding = (
            spectrally_normalized(orthogonal(nn.Embedding(num_classes, channels[-1])), num) if num_classes else None
        )

    def forward(self, images: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, " b"]:
        """Scores of images as members of their classes."""
        features = self.features(images)
        scores: Tensor = self.linear(features).squeeze(1)
        if self.embedding is not None:
            scores = scores + (self.embedding(labels) * features).sum(dim=1)
        return scores

    def features(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        """The last features, summed over all places."""
        return F.relu(self.blocks(images)).sum(dim=(2, 3))


def check_halvings(data: DataSpec, **depths: int) -> None:
    """Raise ValueError for the first setting that asks to halve the images more often than they can be."""
    for name, depth in depths.items():
        if data.height % (1 << depth) or data.width % (1 << depth):
            raise ValueError(
                f"images of {data.height} x {data.width} pixels can't be halved {depth} times: resize them to "
                f"multiples of {1 << depth}, or change model.{name}"
            )
