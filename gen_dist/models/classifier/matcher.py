"""A matcher of images and captions: two encoders, one of pixels and one of characters, that meet in one space.

S. Reed, Z. Akata, B. Schiele, H. Lee (2016): Learning Deep Representations of Fine-Grained Visual Descriptions,
arXiv:1605.05395.

Departures: the loss is the symmetric contrastive one over a micro-batch (Zhang et al. 2020, arXiv:2010.00747; Radford
et al. 2021, arXiv:2103.00020), since a margin between classes needs classes; the image encoder is trained here, too;
characters are bytes of UTF-8 with learned vectors; captions have any length, and what fills them up changes nothing;
strided convolutions instead of pooling, gated recurrent units; small.

| symbol | paper | here |
|---|---|---|
| theta(v) | image encoder | `encode` |
| phi(t) | text encoder, char-CNN-RNN | `encode_captions` |
| F(v, t) | theta(v) . phi(t) | `match`: the cosine between them, times a learned scale |
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.matching import contrastive_loss
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.classifier.convnet import convolution, shift
from gen_dist.models.paper import Paper
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, to_signed

PAPER = Paper(
    title="Learning Deep Representations of Fine-Grained Visual Descriptions",
    authors="Scott Reed, Zeynep Akata, Bernt Schiele, Honglak Lee",
    year=2016,
    arxiv="1605.05395",
)

_OPTIMIZER = Adam(learning_rate=1e-3, weight_decay=1e-2)
_NUM_BYTES = 256
_FIRST_LOG_SCALE = math.log(1.0 / 0.07)  # both from Radford et al. 2021
_LARGEST_LOG_SCALE = math.log(100.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class MatcherConfig:
    """Settings of a matcher.

    Attributes:
        channels: feature maps of each stage of the image encoder; every stage after the first halves height and width.
        first_stride: 2 halves them in the first stage too.
        character_dim: length of the vector that stands for a byte.
        text_channels: features after each convolution over the characters; each halves their number.
        recurrent_dim: units that read what the convolutions found, in the order of the text.
        embedding_dim: of the space in which images and captions meet.
        max_shift: training images are shifted by up to so many pixels along each axis; 0 for none.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    channels: tuple[int, ...] = (32, 64, 128)
    first_stride: Literal[1, 2] = 2
    character_dim: int = 32
    text_channels: tuple[int, ...] = (96, 128)
    recurrent_dim: int = 128
    embedding_dim: int = 64
    max_shift: int = 1
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = 0.99

    def __post_init__(self) -> None:
        for name in ("channels", "text_channels"):
            widths = getattr(self, name)
            if not widths or any(width < 1 for width in widths):
                raise ValueError(f"model.{name} is {widths}: give at least one stage, each with 1 feature or more")
        check_at_least_one(self, "character_dim", "recurrent_dim", "embedding_dim")
        if self.max_shift < 0:
            raise ValueError(f"model.max_shift is {self.max_shift}: it must be 0 or more pixels")

    def build(self, data: DataSpec) -> "Matcher":
        """A freshly initialised matcher; ValueError for images without captions, or smaller than a shift."""
        if not data.caption_bytes:
            raise ValueError("the data has no captions, from which a matcher learns: import it with captions")
        if self.max_shift >= min(data.height, data.width):
            raise ValueError(
                f"model.max_shift is {self.max_shift}: it must be less than the image's sides, "
                f"which are {data.height} and {data.width} pixels"
            )
        return Matcher(self, data)


@final
class Matcher(Learner):
    """An image encoder and a text encoder; both give vectors of length 1."""

    def __init__(self, config: MatcherConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.images = ImageEncoder(config, data)
        self.captions = TextEncoder(config)
        self.log_scale = nn.Parameter(torch.tensor(_FIRST_LOG_SCALE))

    @property
    def players(self) -> Mapping[str, Player]:
        """Both encoders are one player, "matcher"."""
        config = self.config
        return {
            "matcher": Player(
                module=self, optimizer=config.optimizer, schedule=config.schedule, ema_decay=config.ema_decay
            )
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "matcher"."""
        return (Phase(name="matcher", player="matcher", signal=self.contrast),)

    def contrast(self, batch: ImageBatch, context: Context) -> Signal:
        """The contrastive loss over the micro-batch; metrics: accuracy of finding the caption among its captions."""
        captions = captions_of(batch)
        scores = self.match(shift(batch.images, self.config.max_shift), captions)
        found = (captions[scores.argmax(1)] == captions).all(1)
        metrics = {"accuracy": found.to(scores.dtype).mean(), "scale": self.log_scale.detach().exp()}
        return Loss(contrastive_loss(scores), metrics)

    @torch.no_grad()
    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """Keep the scale below 100, beyond which scores tell captions apart by rounding alone."""
        self.log_scale.clamp_(max=_LARGEST_LOG_SCALE)

    def match(self, images: UInt8[Tensor, "n c h w"], captions: UInt8[Tensor, "m l"]) -> Float[Tensor, "n m"]:
        """The cosine between each image's vector and each caption's, times the scale."""
        of_images, of_captions = self.encode(images), self.encode_captions(captions)
        with torch.autocast(images.device.type, enabled=False):
            return self.log_scale.exp() * (of_images @ of_captions.T)

    def encode(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b e"]:
        """Vectors of length 1 for images."""
        vectors: Tensor = self.images(to_signed(images, self.log_scale.dtype))
        return F.normalize(vectors.to(self.log_scale.dtype))

    def encode_captions(self, captions: UInt8[Tensor, "m l"]) -> Float[Tensor, "m e"]:
        """Vectors of length 1 for captions; zeros at a caption's end change nothing."""
        vectors: Tensor = self.captions(captions)
        return F.normalize(vectors.to(self.log_scale.dtype))


@final
class ImageEncoder(nn.Module):
    """Stages of two 3x3 convolutions, then a linear layer over all that is left."""

    def __init__(self, config: MatcherConfig, data: DataSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in, height, width = data.channels, data.height, data.width
        for stage, channels in enumerate(config.channels):
            stride = config.first_stride if stage == 0 else 2
            height, width = math.ceil(height / stride), math.ceil(width / stride)
            layers += [*convolution(width_in, channels, stride), *convolution(channels, channels, 1)]
            width_in = channels
        self.stages = nn.Sequential(*layers)
        self.output = nn.Linear(width_in * height * width, config.embedding_dim)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e"]:
        """Vectors of any length."""
        vectors: Tensor = self.output(self.stages(images).flatten(1))
        return vectors


@final
class TextEncoder(nn.Module):
    """Convolutions over characters find parts of words, recurrent units read them, their mean over the text is kept.

    A position counts while its byte is not 0. After each convolution the others are set back to 0, which is what a
    shorter row would have been padded with; and recurrent units read from left to right. So the fill at the end
    reaches nothing. (The mean over time is what the authors' code takes.)
    """

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        self.characters = nn.Embedding(_NUM_BYTES, config.character_dim)
        widths = (config.character_dim, *config.text_channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(narrow, wide, 3, stride=2, padding=1) for narrow, wide in itertools.pairwise(widths)
        )
        self.recurrent = nn.GRU(widths[-1], config.recurrent_dim, batch_first=True)
        self.output = nn.Linear(config.recurrent_dim, config.embedding_dim)

    def forward(self, captions: UInt8[Tensor, "m l"]) -> Float[Tensor, "m e"]:
        """Vectors of any length."""
        counts = (captions != 0)[:, None]
        features = self.characters(captions.long()).transpose(1, 2) * counts
        for layer in self.convolutions:
            counts = counts[:, :, ::2]  # position j of the output is centred on position 2j of the input
            features = F.silu(layer(features)) * counts
        read, _ = self.recurrent(features.transpose(1, 2))
        seen = counts.transpose(1, 2)
        vectors: Tensor = self.output((read * seen).sum(1) / seen.sum(1).clamp(min=1))
        return vectors


def captions_of(batch: ImageBatch) -> UInt8[Tensor, "b l"]:
    """The captions of a batch; ValueError when it has none."""
    if batch.captions is None:
        raise ValueError("these images have no captions: import them with captions")
    return batch.captions
