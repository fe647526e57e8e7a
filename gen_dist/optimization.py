"""How a player moves: which optimizer, and how its learning rate follows the clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from cattrs.strategies import configure_tagged_union
from torch import nn

from gen_dist.serialization import converter
from gen_dist.types import Moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980); with `weight_decay` above 0, AdamW (arXiv:1711.05101)."""

    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _require_positive("learning_rate", self.learning_rate)
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}: each must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class RMSprop:
    """RMSprop (Tieleman and Hinton 2012), the optimizer of the WGAN paper."""

    learning_rate: float = 5e-5
    smoothing: float = 0.99
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _require_positive("learning_rate", self.learning_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class SGD:
    """Stochastic gradient descent with heavy-ball momentum."""

    learning_rate: float = 1e-2
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _require_positive("learning_rate", self.learning_rate)


OptimizerConfig = Adam | RMSprop | SGD

configure_tagged_union(
    OptimizerConfig, converter, tag_name="optimizer", tag_generator=lambda config: config.__name__.lower()
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningRateSchedule:
    """A factor on the learning rate: linear warm-up, then constant, or decay to `final_factor`.

    Attributes:
        warmup_images: images over which the factor rises from 0 to 1.
        decay: shape of the fall between `decay_start_images` and `decay_end_images`.
        final_factor: value of the factor from `decay_end_images` on.
    """

    warmup_images: int = 0
    decay: Literal["constant", "linear", "cosine"] = "constant"
    decay_start_images: int = 0
    decay_end_images: int = 0
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        if self.decay != "constant" and self.decay_end_images <= self.decay_start_images:
            raise ValueError(
                f"decay_end_images is {self.decay_end_images}: a {self.decay} decay must end after "
                f"decay_start_images, which is {self.decay_start_images}"
            )

    def factor(self, moment: Moment) -> float:
        """The factor at a moment, in [0, 1]."""
        seen = moment.samples_seen
        warmup = min(1.0, (seen + 1) / self.warmup_images) if self.warmup_images else 1.0
        if self.decay == "constant":
            return warmup
        fall = (seen - self.decay_start_images) / (self.decay_end_images - self.decay_start_images)
        fall = min(1.0, max(0.0, fall))
        shape = 1.0 - fall if self.decay == "linear" else 0.5 * (1.0 + math.cos(math.pi * fall))
        return warmup * (self.final_factor + (1.0 - self.final_factor) * shape)


CONSTANT = LearningRateSchedule()


def build_optimizer(
    config: OptimizerConfig, parameters: Sequence[nn.Parameter], *, fused: bool
) -> torch.optim.Optimizer:
    """The torch optimizer that a configuration describes. RMSprop has no fused variant and ignores `fused`."""
    match config:
        case Adam():
            return torch.optim.AdamW(
                parameters,
                lr=config.learning_rate,
                betas=config.betas,
                eps=config.epsilon,
                weight_decay=config.weight_decay,
                fused=fused,
                foreach=None if fused else True,
            )
        case RMSprop():
            return torch.optim.RMSprop(
                parameters, lr=config.learning_rate, alpha=config.smoothing, eps=config.epsilon, foreach=True
            )
        case SGD():
            return torch.optim.SGD(
                parameters,
                lr=config.learning_rate,
                momentum=config.momentum,
                fused=fused,
                foreach=None if fused else True,
            )


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}: it must be a positive, finite number")
