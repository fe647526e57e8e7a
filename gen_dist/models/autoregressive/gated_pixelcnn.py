"""Gated PixelCNN: two stacks of gated convolutions that see all earlier pixels, perhaps given the image's class.

Paper: A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves, K. Kavukcuoglu (2016), Conditional Image
Generation with PixelCNN Decoders, arXiv:1606.05328.

Departures: skip connections from every block to the output, where the figure shows only the residual stream; widths
that suit a small machine. Mixtures of classes are scored with equal shares.

| symbol | name here |
|---|---|
| p, feature maps of a gate's output (Fig. 2) | `features` |
| y = tanh(W_f * x) sigmoid(W_g * x) (Eq. 2) | `gen_dist.nn.gated.gate` |
| h, V (Eq. 4): class as a one-hot vector, its effect on every layer | `condition`, `gen_dist.nn.gated.Conditioning` |
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch.nn.functional as F
from jaxtyping import Float, Int64, Integer, UInt8
from torch import Tensor

from gen_dist.models.autoregressive.autoregressive import Autoregressive, network_input
from gen_dist.models.autoregressive.outputs import pixel_distribution
from gen_dist.models.autoregressive.raster import PixelPredictor, previous_pixel
from gen_dist.models.checks import check_at_least_one, check_colours_divide
from gen_dist.models.paper import Paper
from gen_dist.nn.gated import GatedNetwork
from gen_dist.nn.incremental_gated import IncrementalGatedNetwork
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec

PAPER = Paper(
    title="Conditional Image Generation with PixelCNN Decoders",
    authors="A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves, K. Kavukcuoglu",
    year=2016,
    arxiv="1606.05328",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedPixelCNNConfig:
    """Settings of the network.

    Attributes:
        likelihood: "softmax" over 256 values, or "bernoulli" over images that are thresholded at 128.
        class_conditional: whether the model is told each image's class, so that it can draw a class.
        features: feature maps of each stack (p in the paper); a multiple of the colours.
        num_blocks: gated blocks after the first.
        first_kernel_size: of the first block, which hides the pixel itself; odd.
        kernel_size: of the other blocks; odd.
        output_features: feature maps of the 1x1 layer before the output; a multiple of the colours.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    likelihood: Literal["softmax", "bernoulli"] = "softmax"
    class_conditional: bool = False
    features: int = 48
    num_blocks: int = 4
    first_kernel_size: int = 7
    kernel_size: int = 3
    output_features: int = 64
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "features", "output_features")
        if self.num_blocks < 0:
            raise ValueError(f"model.num_blocks is {self.num_blocks}: it must be 0 or more")
        for name in ("first_kernel_size", "kernel_size"):
            size = getattr(self, name)
            if size < 3 or size % 2 == 0:
                raise ValueError(f"model.{name} is {size}: it must be odd and at least 3, to see a neighbour")

    def build(self, data: DataSpec) -> "GatedPixelCNN":
        """A freshly initialised network; ValueError when colours or labels do not suit it."""
        check_colours_divide(data, features=self.features, output_features=self.output_features)
        if self.class_conditional and not data.num_classes:
            raise ValueError("model.class_conditional is True: it must be False for images without labels")
        return GatedPixelCNN(self, data)


@final
class GatedPixelCNN(Autoregressive):
    """The gated network over pixels, with a softmax or sigmoid for each value."""

    def __init__(self, config: GatedPixelCNNConfig, data: DataSpec) -> None:
        distribution = pixel_distribution(config.likelihood, data.channels)
        super().__init__(config, data, distribution, num_classes=data.num_classes if config.class_conditional else 0)
        self.network = GatedNetwork(
            data.channels,
            config.features,
            config.num_blocks,
            distribution.num_outputs,
            num_colours=data.channels,
            num_conditions=self.num_classes,
            first_kernel_size=config.first_kernel_size,
            kernel_size=config.kernel_size,
            output_features=config.output_features,
        )

    def predict(self, inputs: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b o h w"]:
        """Logits of every value given the earlier ones, and the class if the model is conditional."""
        outputs: Tensor = self.network(inputs, self._condition(labels))
        return outputs

    def predictor(self, num: int, labels: Int64[Tensor, " b"] | None) -> PixelPredictor:
        """The vertical stack once a row, the horizontal stack once a pixel."""
        height, width = self.data.height, self.data.width
        stepped = IncrementalGatedNetwork(self.network, num, height, width, condition=self._condition(labels))
        return GatedPredictor(stepped, self._input)

    def _condition(self, labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b k"] | None:
        return None if labels is None else F.one_hot(labels, self.num_classes).to(self.origin.dtype)

    def _input(self, values: UInt8[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        return network_input(values, self.likelihood_of, self.origin.dtype)


@final
class GatedPredictor:
    """A gated network that draws values pixel by pixel.

    Args:
        network: fresh: it has seen no pixel yet.
        to_input: what the network is shown of a pixel's values (a scale, an embedding).
    """

    def __init__(self, network: IncrementalGatedNetwork, to_input: Callable[[Tensor], Tensor]) -> None:
        self._network, self._to_input = network, to_input

    def pixel(self, values: Integer[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b o"]:
        """Outputs at a pixel."""
        previous = previous_pixel(row, column, values.shape[3])
        if previous is not None:  # it was drawn after the network was asked about it
            self._network.write(*previous, self._to_input(values[:, :, previous[0], previous[1]]))
        return self._network.at(row, column, self._to_input(values[:, :, row, column]))
