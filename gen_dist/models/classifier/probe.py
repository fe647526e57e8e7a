"""A linear classifier on a model's latents: how much of the classes a representation holds.

Source: G. Alain, Y. Bengio (2016), Understanding intermediate layers using linear classifier probes, arXiv:1610.01644.

It lives inside one measurement (`gen-dist probe`) and is never kept, so it stands in no table of families.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.capabilities import Encodes
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.models.solo import solo_player
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch

_OPTIMIZER = Adam(learning_rate=1e-3)
_MAX_PREPARED = 4096
_SMALLEST_DEVIATION = 1e-2  # of a latent, relative to the typical one: what hardly moves is not blown up to noise


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """What is probed, and how the classifier trains.

    Attributes:
        encoder: the model that encodes; a copy of it is used.
        frozen: whether only the linear classifier moves.
        prepare_encoder: whether the encoder is freshly built, so that it must be initialised from data first.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    encoder: Learner
    frozen: bool
    prepare_encoder: bool = False
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def build(self, data: DataSpec) -> "ProbeClassifier":
        """A fresh classifier on a copy of the encoder; ValueError when there is nothing to classify or to encode."""
        if data.num_classes < 2:
            raise ValueError(f"the data has {data.num_classes} classes: a probe needs labelled data with at least two")
        if not isinstance(self.encoder, Encodes):
            raise ValueError(f"{type(self.encoder).__name__} maps images to no latents: there is nothing to probe")
        return ProbeClassifier(self, data)


@final
class ProbeClassifier(Learner):
    """An encoder, its latents standardised, a linear layer, a softmax."""

    def __init__(self, config: ProbeConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.encoder = copy.deepcopy(config.encoder)
        with torch.enable_grad():
            latents = _encoded(self.encoder.requires_grad_(True), torch.zeros(2, *data.shape, dtype=torch.uint8))
            used = _parameters_behind(latents, list(self.encoder.parameters()))
        if not used and not config.frozen:
            raise ValueError(
                f"{type(config.encoder).__name__}.encode depends on no weight, or is not differentiable: it can be "
                "probed frozen only"
            )
        self.encoder.requires_grad_(False)
        for parameter in used:  # the way from images to latents: a decoder stays as it is
            parameter.requires_grad_(not config.frozen)
        self.num_encoder_weights = sum(parameter.numel() for parameter in used)
        width = latents.shape[1]
        self.mean: Tensor
        self.inverse_deviation: Tensor
        self.register_buffer("mean", torch.zeros(width, dtype=latents.dtype))
        self.register_buffer("inverse_deviation", torch.ones(width, dtype=latents.dtype))
        self.output = nn.Linear(width, data.num_classes, dtype=latents.dtype)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def train(self, mode: bool = True) -> "ProbeClassifier":
        """As for any module, but a frozen encoder stays in evaluation mode: no dropout, no running statistics."""
        super().train(mode)
        if self.config.frozen:
            self.encoder.eval()
        return self

    @property
    def preparation_images(self) -> int | None:
        """All labelled images, or enough of them to know the latents' scale."""
        return _MAX_PREPARED

    @property
    def players(self) -> Mapping[str, Player]:
        """All that moves is one player, "model"."""
        return solo_player(self, self.config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "classifier"."""
        return (Phase(name="classifier", player="model", signal=self.cross_entropy),)

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Standardise the latents by those of the batch."""
        if self.config.prepare_encoder:
            self.encoder.prepare(batch)
        latents = _encoded(self.encoder, batch.images)
        deviation = latents.std(0)
        floor = _SMALLEST_DEVIATION * deviation.square().mean().sqrt().clamp_min(_SMALLEST_DEVIATION)
        self.mean.copy_(latents.mean(0))
        self.inverse_deviation.copy_(1.0 / torch.maximum(deviation, floor))

    def cross_entropy(self, batch: ImageBatch, context: Context) -> Signal:
        """Cross-entropy in nats; metrics: loss and accuracy."""
        if batch.labels is None:
            raise ValueError("the batch has no labels: a classifier trains on labelled data only")
        logits = self.logits(batch.images)
        accuracy = (logits.argmax(1) == batch.labels).to(logits.dtype).mean()
        return Loss(F.cross_entropy(logits, batch.labels), {"accuracy": accuracy})

    def logits(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Unnormalised log-probabilities of the classes."""
        logits: Tensor = self.output(self.features(images))
        return logits

    def features(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        """The standardised latents."""
        return (_encoded(self.encoder, images) - self.mean) * self.inverse_deviation


def _encoded(encoder: Learner, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b z"]:
    assert isinstance(encoder, Encodes), "ProbeConfig.build has checked it"
    return encoder.encode(images)


def _parameters_behind(latents: Float[Tensor, "b z"], parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """The parameters that the latents depend on; none if the graph does not reach them."""
    if not latents.requires_grad:
        return []
    slopes = torch.autograd.grad(latents.sum(), parameters, allow_unused=True)
    return [parameter for parameter, slope in zip(parameters, slopes, strict=True) if slope is not None]
