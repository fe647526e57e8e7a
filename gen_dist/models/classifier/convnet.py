"""A small convolutional classifier: the eye of the evaluation, trained once per labelled dataset.

Paper: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998), Gradient-based learning applied to document recognition.

Departures: strided 3x3 convolutions instead of 5x5 convolutions with subsampling, group norm, SiLU, dropout, softmax
cross-entropy, and a narrow penultimate layer. Its width is a choice for the Frechet distance: a covariance of `f`
features needs many more than `f` images, and a small test split has few.

| symbol | name here |
|---|---|
| F6, the last hidden layer | `features` |
| y, class scores | `logits` |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, to_signed

PAPER = Paper(
    title="Gradient-based learning applied to document recognition",
    authors="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner",
    year=1998,
)

_OPTIMIZER = Adam(learning_rate=2e-3, weight_decay=1e-2)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvNetConfig:
    """Settings of the classifier.

    Attributes:
        channels: feature maps of each stage; every stage after the first halves height and width.
        first_stride: 2 halves them in the first stage too, which makes large images four times cheaper.
        feature_dim: width of the penultimate layer, the one that evaluation uses as features.
        dropout: share of activations dropped before the penultimate layer during training.
        max_shift: training images are shifted by up to so many pixels along each axis; 0 for none.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    channels: tuple[int, ...] = (32, 64)
    first_stride: Literal[1, 2] = 1
    feature_dim: int = 16
    dropout: float = 0.2
    max_shift: int = 1
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = 0.99

    def __post_init__(self) -> None:
        if not self.channels or any(width < 1 for width in self.channels):
            raise ValueError(
                f"model.channels is {self.channels}: give at least one stage, each with 1 feature map or more"
            )
        check_at_least_one(self, "feature_dim")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"model.dropout is {self.dropout}: it must lie in [0, 1)")
        if self.max_shift < 0:
            raise ValueError(f"model.max_shift is {self.max_shift}: it must be 0 or more pixels")

    def build(self, data: DataSpec) -> "ConvNet":
        """A freshly initialised classifier of such data; ValueError when it has fewer than two classes."""
        if data.num_classes < 2:
            raise ValueError(
                f"the data has {data.num_classes} classes: a classifier needs labelled data with at least two; "
                "import the data with labels, or evaluate with random-convolution features"
            )
        if self.max_shift >= min(data.height, data.width):
            raise ValueError(
                f"model.max_shift is {self.max_shift}: it must be less than the image's sides, "
                f"which are {data.height} and {data.width} pixels"
            )
        return ConvNet(self, data)


@final
class ConvNet(Learner):
    """Stages of two 3x3 convolutions, a narrow penultimate layer, a softmax."""

    def __init__(self, config: ConvNetConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        width_in, height, width = data.channels, data.height, data.width
        for stage, channels in enumerate(config.channels):
            stride = config.first_stride if stage == 0 else 2
            height, width = math.ceil(height / stride), math.ceil(width / stride)
            layers += [*convolution(width_in, channels, stride), *convolution(channels, channels, 1)]
            width_in = channels
        self.stages = nn.Sequential(*layers)
        self.penultimate = nn.Linear(width_in * height * width, config.feature_dim)
        self.output = nn.Linear(config.feature_dim, data.num_classes)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def players(self) -> Mapping[str, Player]:
        """The whole network is one player, "classifier"."""
        config = self.config
        return {
            "classifier": Player(
                module=self, optimizer=config.optimizer, schedule=config.schedule, ema_decay=config.ema_decay
            )
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "classifier"."""
        return (Phase(name="classifier", player="classifier", signal=self.cross_entropy),)

    def cross_entropy(self, batch: ImageBatch, context: Context) -> Signal:
        """Cross-entropy on shifted images; metrics: loss (nats) and accuracy."""
        if batch.labels is None:
            raise ValueError("the batch has no labels: a classifier trains on labelled data only")
        logits = self.logits(shift(batch.images, self.config.max_shift)).to(self.output.weight.dtype)
        accuracy = (logits.argmax(1) == batch.labels).to(logits.dtype).mean()
        return Loss(F.cross_entropy(logits, batch.labels), {"accuracy": accuracy})

    def logits(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Unnormalised log-probabilities of the classes."""
        logits: Tensor = self.output(self.features(images))
        return logits

    def features(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        """The activations of the penultimate layer."""
        hidden = self.stages(to_signed(images, self.output.weight.dtype))
        return F.silu(self.penultimate(self.dropout(hidden.flatten(1))))


def shift(images: Shaped[Tensor, "b c h w"], max_shift: int) -> Shaped[Tensor, "b c h w"]:
    """Each image moved by its own random whole number of pixels, at most `max_shift` along each axis.

    What enters at a border repeats the border's pixels.
    """
    if max_shift == 0:
        return images
    num, _, height, width = images.shape
    moves = torch.randint(-max_shift, max_shift + 1, (2, num, 1), device=images.device)
    rows = (torch.arange(height, device=images.device) + moves[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + moves[1]).clamp(0, width - 1)
    each = torch.arange(num, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def convolution(channels_in: int, channels_out: int, stride: int) -> list[nn.Module]:
    """The layers of one 3x3 convolution: its sides are those of its input, divided by the stride, rounded up."""
    groups = math.gcd(8, channels_out)
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return [convolution, nn.GroupNorm(groups, channels_out), nn.SiLU()]
