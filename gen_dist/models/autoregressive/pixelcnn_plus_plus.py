"""PixelCNN++: a PixelCNN whose pixels are mixtures of logistics, with whole-pixel conditioning and short-cuts.

Paper: T. Salimans, A. Karpathy, X. Chen, D. P. Kingma (2017), PixelCNN++: Improving the PixelCNN with Discretized
Logistic Mixture Likelihood and Other Modifications, arXiv:1701.05517.

Departures: the log-probability of a bin is exact everywhere (the published implementation falls back to a density where
its difference cancels); no class labels; widths that suit a small machine. The learning rate follows the schedule of
the configuration instead of a decay of 0.999995 per step.

| symbol | name here |
|---|---|
| pi, mu, s, alpha/beta/gamma (Eq. 1-3) | `MixtureParameters`: logits, means, scales, couplings |
| P(x given pi, mu, s) (Eq. 2) | `mixture_log_probability` |
| K, mixture components | `num_components` |
| down stream, down-right stream (Fig. 2) | `Streams`: above, before |
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gen_dist.models.autoregressive.autoregressive import Autoregressive, network_input
from gen_dist.models.autoregressive.mixture_output import LogisticMixture
from gen_dist.models.autoregressive.raster import PixelPredictor
from gen_dist.models.autoregressive.two_stream import TwoStreamNetwork
from gen_dist.models.autoregressive.two_stream_sampling import TwoStreamPredictor
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.nn.shifted import WeightNormalised
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

PAPER = Paper(
    title=("PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications"),
    authors="T. Salimans, A. Karpathy, X. Chen, D. P. Kingma",
    year=2017,
    arxiv="1701.05517",
)

_OPTIMIZER = Adam(learning_rate=1e-3, betas=(0.95, 0.9995))


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelCNNPlusPlusConfig:
    """Settings of the network; the defaults are the paper's.

    Attributes:
        features: of each of the two streams.
        num_blocks: gated residual blocks of each stream at each resolution on the way down (one more on the way back,
            but for the smallest resolution).
        num_scales: resolutions; each is half as high and wide as the one before, odd sides rounded up.
        num_components: of a pixel's mixture.
        dropout: probability of dropping a feature inside a block; the small presets set 0.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    features: int = 160
    num_blocks: int = 5
    num_scales: int = 3
    num_components: int = 10
    dropout: float = 0.5
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = 0.9995

    def __post_init__(self) -> None:
        check_at_least_one(self, "features", "num_blocks", "num_scales", "num_components")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"model.dropout is {self.dropout}: it must lie in [0, 1)")

    def build(self, data: DataSpec) -> "PixelCNNPlusPlus":
        """A freshly initialised network for images of any size."""
        return PixelCNNPlusPlus(self, data)


@final
class PixelCNNPlusPlus(Autoregressive):
    """The network of Fig. 2 under a mixture of discretised logistics."""

    def __init__(self, config: PixelCNNPlusPlusConfig, data: DataSpec) -> None:
        super().__init__(config, data, LogisticMixture(data.channels, config.num_components))
        self.network = TwoStreamNetwork(
            data.channels,
            self.distribution.num_outputs,
            features=config.features,
            num_blocks=config.num_blocks,
            num_scales=config.num_scales,
            dropout=config.dropout,
        )

    def predict(self, inputs: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"] | None) -> Float[Tensor, "b o h w"]:
        """Parameters of every pixel's mixture given the earlier pixels; a pixel sees none of its own colours."""
        outputs: Tensor = self.network(inputs)
        return outputs

    def predictor(self, num: int, labels: Int64[Tensor, " b"] | None) -> PixelPredictor:
        """Each layer at one pixel or row, from what earlier ones left behind."""
        return TwoStreamPredictor(self.network, num, self.data.height, self.data.width)

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Data-dependent initialisation, layer by layer in the order of the network (arXiv:1602.07868, Sec. 3)."""

        def initialise(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(layer, WeightNormalised)
            layer.initialise(*inputs)

        handles: list[RemovableHandle] = [
            layer.register_forward_pre_hook(initialise)
            for layer in self.modules()
            if isinstance(layer, WeightNormalised)
        ]
        try:
            self.predict(network_input(batch.images, "8-bit", self.origin.dtype), None)
        finally:
            for handle in handles:
                handle.remove()
