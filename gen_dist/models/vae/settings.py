"""What the configurations of several latent variable models have in common."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from gen_dist.learner import Learner
from gen_dist.models.checks import check_at_least_one
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, Moment

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentVariableConfig(ABC):
    """Settings of every latent variable model.

    Attributes:
        decoder: distribution of a pixel: "discretised-logistic" over 256 values, "gaussian" over dequantised values,
            or "bernoulli" over images that are thresholded at 128.
        architecture: "mlp", or "conv" with stages that halve the image.
        hidden: widths of the encoder's hidden layers (mlp) or feature maps of its stages (conv), mirrored in the
            decoder. An mlp without hidden layers is linear.
        latent_dim: number of latent variables.
        importance_samples: latent draws per image when images are scored; 1 is the plain bound, more is the
            importance-weighted bound (arXiv:1509.00519).
        pixel_noise: whether samples are drawn from the decoder's distribution, or are its mean.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    decoder: Literal["bernoulli", "discretised-logistic", "gaussian"] = "discretised-logistic"
    architecture: Literal["mlp", "conv"] = "mlp"
    hidden: tuple[int, ...] = (256, 256)
    latent_dim: int = 16
    importance_samples: int = 1
    pixel_noise: bool = False
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_networks(self.architecture, self.hidden)
        check_at_least_one(self, "latent_dim", "importance_samples")

    @abstractmethod
    def build(self, data: DataSpec) -> Learner:
        """A freshly initialised model of such data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightedBoundConfig(LatentVariableConfig):
    """Settings of a training objective that weighs the bound's divergence. Scores are of the true bound regardless.

    Attributes:
        beta: weight of the divergence in the training loss (Higgins et al. 2017).
        kl_warmup_images: training images over which the weight rises linearly from 0 to beta (Bowman et al. 2016,
            arXiv:1511.06349); 0 for no warm-up.
        free_bits: nats that each latent variable is charged at least, whatever its divergence, averaged over the
            micro-batch, is (Kingma et al. 2016, arXiv:1606.04934, lambda there).
    """

    beta: float = 1.0
    kl_warmup_images: int = 0
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        LatentVariableConfig.__post_init__(self)  # super() does not know a class with slots, which is made anew
        for name, value in (("beta", self.beta), ("free_bits", self.free_bits)):
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"model.{name} is {value}: it must be 0 or a positive, finite number")
        if self.kl_warmup_images < 0:
            raise ValueError(f"model.kl_warmup_images is {self.kl_warmup_images}: it must be 0 or more")

    def divergence_weight(self, moment: Moment) -> float:
        """The divergence's weight in the loss at a moment."""
        if not self.kl_warmup_images:
            return self.beta
        return self.beta * min(1.0, moment.samples_seen / self.kl_warmup_images)


def check_networks(architecture: Literal["mlp", "conv"], hidden: tuple[int, ...]) -> None:
    """Raise ValueError for widths of which no encoder can be made."""
    if any(width < 1 for width in hidden):
        raise ValueError(f"model.hidden is {hidden}: each layer needs at least 1 unit")
    if architecture == "conv" and not hidden:
        raise ValueError("model.hidden is empty: a conv architecture needs at least one stage")
