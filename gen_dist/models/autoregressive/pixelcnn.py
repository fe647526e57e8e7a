"""PixelCNN: each pixel's distribution given all pixels above and to the left, by masked convolutions.

Paper: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu (2016), Pixel Recurrent Neural Networks, arXiv:1601.06759.

Departures: none in the network; Adam instead of RMSprop, and widths that suit a small machine. As in the paper, the
stack of masked convolutions has a blind spot to the upper right (see Gated PixelCNN for its cure).

| symbol | name here |
|---|---|
| p(x) = product of p(x_i given x_<i) (Eq. 1), p over R, G, B in turn (Eq. 2) | `log_probability` |
| 2h, feature maps of the residual stream | `features` |
| mask A, mask B (Fig. 2) | `gen_dist.nn.masked.causal_mask` |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, LikelihoodKind, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import (
    bernoulli_log_probability,
    binarise,
    bits_per_dimension,
    categorical_log_probability,
)
from gen_dist.models.paper import Paper
from gen_dist.nn.masked import MaskedConv2d
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, to_signed

PAPER = Paper(
    title="Pixel Recurrent Neural Networks",
    authors="A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu",
    year=2016,
    arxiv="1601.06759",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelCNNConfig:
    """Settings of the network.

    Attributes:
        likelihood: "softmax" over 256 values, or "bernoulli" over images that are thresholded at 128.
        features: feature maps of the residual stream (2h in the paper); even, and a multiple of the colours.
        num_blocks: residual blocks; each sees one pixel further.
        first_kernel_size: of the mask A convolution.
        output_features: feature maps of the two 1x1 layers before the output.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    likelihood: Literal["softmax", "bernoulli"] = "softmax"
    features: int = 64
    num_blocks: int = 4
    first_kernel_size: int = 7
    output_features: int = 64
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        if self.features < 2 or self.features % 2:
            raise ValueError(f"model.features is {self.features}: a residual block halves it, so it must be even")
        if self.num_blocks < 0:
            raise ValueError(f"model.num_blocks is {self.num_blocks}: it must be 0 or more")
        if self.first_kernel_size < 1 or self.first_kernel_size % 2 == 0:
            raise ValueError(f"model.first_kernel_size is {self.first_kernel_size}: it must be odd")
        if self.output_features < 1:
            raise ValueError(f"model.output_features is {self.output_features}: it must be at least 1")

    def build(self, data: DataSpec) -> "PixelCNN":
        """A freshly initialised network; ValueError when the colours do not divide the feature maps."""
        for name, value in (("features / 2", self.features // 2), ("output_features", self.output_features)):
            if value % data.channels:
                raise ValueError(
                    f"model.{name} is {value}: images with {data.channels} colours need a multiple of {data.channels}"
                )
        return PixelCNN(self, data)


@final
class ResidualBlock(nn.Module):
    """1x1, 3x3 and 1x1 masked convolutions around a skip connection (Fig. 5, left)."""

    def __init__(self, features: int, num_colours: int) -> None:
        super().__init__()
        inner = features // 2
        self.reduce = MaskedConv2d(features, inner, 1, kind="B", num_colours=num_colours)
        self.look = MaskedConv2d(inner, inner, 3, kind="B", num_colours=num_colours)
        self.expand = MaskedConv2d(inner, features, 1, kind="B", num_colours=num_colours)

    def forward(self, stream: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h w"]:
        """The stream plus what the block adds to it."""
        hidden = self.look(F.relu(self.reduce(F.relu(stream))))
        added: Tensor = self.expand(F.relu(hidden))
        return stream + added


@final
class PixelCNN(Learner):
    """The PixelCNN of Table 1: 7x7 mask A, residual blocks with mask B, two 1x1 layers, softmax or sigmoid."""

    def __init__(self, config: PixelCNNConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        colours = data.channels
        self.num_logits = 1 if config.likelihood == "bernoulli" else 256  # for each value
        kernel, hidden = config.first_kernel_size, config.output_features
        self.network = nn.Sequential(
            MaskedConv2d(colours, config.features, kernel, kind="A", num_colours=colours),
            *(ResidualBlock(config.features, colours) for _ in range(config.num_blocks)),
            nn.ReLU(),
            MaskedConv2d(config.features, hidden, 1, kind="B", num_colours=colours),
            nn.ReLU(),
            MaskedConv2d(hidden, hidden, 1, kind="B", num_colours=colours),
            nn.ReLU(),
        )
        self.output = MaskedConv2d(hidden, colours * self.num_logits, 1, kind="B", num_colours=colours)

    @property
    def players(self) -> Mapping[str, Player]:
        """The whole network is one player, "model"."""
        config = self.config
        return {
            "model": Player(
                module=self, optimizer=config.optimizer, schedule=config.schedule, ema_decay=config.ema_decay
            )
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "likelihood"."""
        return (Phase(name="likelihood", player="model", signal=self.negative_log_likelihood),)

    def negative_log_likelihood(self, batch: ImageBatch, context: Context) -> Signal:
        """The exact negative log-likelihood in bits per dimension."""
        nats = -self._log_probability(batch.images).mean()
        return Loss(bits_per_dimension(nats, self.data.num_dimensions))

    def predict(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k c h w"]:
        """Logits of every value given the earlier ones, for images scaled to [-1, 1]; k is 256 or 1."""
        output: Tensor = self.output(self.network(images))
        num, _, height, width = output.shape
        logits = output.reshape(num, self.data.channels, self.num_logits, height, width).transpose(1, 2)
        return logits.to(self.output.weight.dtype)

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """A product of conditionals is exact."""
        return "exact"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """What a Bernoulli network models is binary."""
        return "binary" if self.config.likelihood == "bernoulli" else "8-bit"

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """The sum of the conditionals' log-probabilities in nats (Eq. 1 and 2)."""
        return self._log_probability(images)

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Draw value by value in raster order, red before green before blue; logits are divided by `temperature`."""
        if condition is not None:
            raise ValueError("a condition was given: this PixelCNN is unconditional")
        colours, height, width = self.data.shape
        images = torch.zeros(num, colours, height, width, dtype=torch.uint8, device=self.output.weight.device)
        console = Console(stderr=True)
        rows = track(
            range(height),
            description=f"drawing {num} images, row by row",
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        for row in rows:
            for column in range(width):
                for colour in range(colours):
                    seen = images[:, :, : row + 1]  # the rows below can't matter
                    logits = self.predict(self._input(seen))[:, :, colour, row, column]
                    images[:, colour, row, column] = self._draw(logits / temperature)
        return images

    def _log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        logits = self.predict(self._input(images))
        if self.config.likelihood == "bernoulli":
            values = bernoulli_log_probability(logits[:, 0], binarise(images, logits.dtype))
        else:
            values = categorical_log_probability(logits, images)
        return values.flatten(1).sum(1)

    def _input(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        dtype = self.output.weight.dtype
        if self.config.likelihood == "bernoulli":
            return 2.0 * binarise(images, dtype) - 1.0
        return to_signed(images, dtype)

    def _draw(self, logits: Float[Tensor, "b k"]) -> UInt8[Tensor, " b"]:
        if self.config.likelihood == "bernoulli":
            return (255 * logits[:, 0].sigmoid().bernoulli()).to(torch.uint8)
        return torch.multinomial(logits.softmax(1), 1)[:, 0].to(torch.uint8)
