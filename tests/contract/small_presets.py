"""Every preset with narrow networks, so that the whole table trains in seconds, and made-up images of its size."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from gen_dist.config import RunConfig, override
from gen_dist.distributed.seeding import seeded
from gen_dist.learner import BuildsOn, Learner, ModelConfig
from gen_dist.models.autoregressive.gated_pixelcnn import GatedPixelCNNConfig
from gen_dist.models.autoregressive.made import MADEConfig
from gen_dist.models.autoregressive.multiscale import MultiScaleConfig
from gen_dist.models.autoregressive.nade import NADEConfig
from gen_dist.models.autoregressive.pixelcnn import PixelCNNConfig
from gen_dist.models.autoregressive.pixelcnn_plus_plus import PixelCNNPlusPlusConfig
from gen_dist.models.autoregressive.pixelrnn import PixelRNNConfig
from gen_dist.models.boltzmann.dbm import DBMConfig
from gen_dist.models.boltzmann.rbm import RBMConfig
from gen_dist.models.classifier.convnet import ConvNetConfig
from gen_dist.models.composed.code_prior import CodePriorConfig
from gen_dist.models.flow.ffjord import FFJORDConfig
from gen_dist.models.flow.glow import GlowConfig
from gen_dist.models.flow.nice import NICEConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.gan.progressive import ProgressiveConfig
from gen_dist.models.markov.gsn import GSNConfig
from gen_dist.models.table import family_of
from gen_dist.models.vae.autoencoder import AutoencoderConfig
from gen_dist.models.vae.iaf import IAFVAEConfig
from gen_dist.models.vae.settings import LatentVariableConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.presets import PRESETS, preset
from gen_dist.training.checkpoint import capture
from gen_dist.training.settings import TrainingConfig
from gen_dist.training.training import Training
from gen_dist.types import DataSpec, ImageBatch

LARGE = ("progressive-1024",)  # a batch of such images alone takes as long as all other presets together
NAMES = tuple(  # baselines have no phases
    name for name in PRESETS if name not in LARGE and family_of(preset(name).model).kind != "baseline"
)
ENDLESS = 10**9
ROUNDS = 3


def spec_of(name: str) -> DataSpec:
    """The images that a preset is for: the last part of its name is their size."""
    size = int(name.rsplit("-", 1)[1])
    channels = 3 if size in (32, 64) else 1
    return DataSpec(channels=channels, height=size, width=size, class_names=tuple("abcde"))


NAMES_8 = tuple(name for name in NAMES if spec_of(name).height == 8)


class MadeUpImages:
    """An endless stream, each image a pure function of its position; brightness depends on the label."""

    num_images = 64

    def __init__(self, spec: DataSpec, *, pin_memory: bool = False) -> None:
        self.spec = spec
        self.pin_memory = pin_memory
        random = np.random.default_rng(0)
        self.labels = torch.arange(self.num_images) % spec.num_classes
        noise = torch.from_numpy(random.integers(0, 200, (self.num_images, *spec.shape)))
        self.images = (noise + 10 * self.labels[:, None, None, None]).to(torch.uint8)

    def take(self, start: int, count: int) -> ImageBatch:
        chosen = torch.arange(start, start + count) % self.num_images
        images, labels = self.images[chosen], self.labels[chosen]
        if self.pin_memory:
            images, labels = images.pin_memory(), labels.pin_memory()
        return ImageBatch(images=images, labels=labels)

    def prefetch(self, start: int, count: int) -> None: ...


def narrow(config: RunConfig) -> RunConfig:
    """The same model with few channels. Without weight decay, which moves weights that nothing else moves."""
    values: dict[str, Any]
    match config.model:
        case DCGANConfig():
            values = {"latent_dim": 6, "generator_channels": 8, "critic_channels": 8}
        case ProgressiveConfig():
            values = {"latent_dim": 6, "generator_channels": 8, "critic_channels": 8, "max_channels": 8}
        case LatentVariableConfig() | AutoencoderConfig():
            values = {"latent_dim": 4, "hidden": (8,) * len(config.model.hidden)}
            if isinstance(config.model, IAFVAEConfig):
                values |= {"step_width": 8, "context_dim": 3}
        case VQVAEConfig():
            values = {"hidden": 8, "residual_hidden": 4, "num_codes": 8, "code_dim": 4}
        case CodePriorConfig():
            small = {"hidden": 8, "residual_hidden": 4, "num_codes": 8, "code_dim": 4}
            values = {"embedding_dim": 4, "features": 8, "num_blocks": 1, "output_features": 8}
            values |= {f"foundation.{path}": value for path, value in small.items()}
        case PixelCNNConfig():
            values = {"features": 12, "num_blocks": 1, "output_features": 12}
        case GatedPixelCNNConfig():
            values = {"features": 12, "num_blocks": 1, "first_kernel_size": 3, "output_features": 12}
        case MultiScaleConfig():
            values = {"features": 12, "num_blocks": 1, "output_features": 12, "map_features": 8, "map_layers": 1}
        case PixelRNNConfig():
            values = {"features": 12, "num_layers": 1, "output_features": 12}
        case PixelCNNPlusPlusConfig():
            values = {"features": 6, "num_blocks": 1, "num_components": 3, "dropout": 0.5}
        case RealNVPConfig():
            values = {"hidden": 8, "num_blocks": 1}
        case NICEConfig():
            values = {"hidden": 8, "hidden_layers": 2}
        case GlowConfig():
            values = {"hidden": 8, "steps": 1, "schedule.warmup_images": 0}  # which would hold weights still
        case NADEConfig():
            values = {"hidden": 12, "num_components": 2}
        case MADEConfig():
            values = {"hidden": (12,), "num_components": 2}
        case DBMConfig():
            values = {"first_hidden": 12, "second_hidden": 8, "sample_steps": 10, "partition_steps": 10}
        case FFJORDConfig():
            values = {"hidden": (8,)}
        case GSNConfig():
            values = {"first_hidden": 12, "second_hidden": 8, "sample_steps": 10}
        case RBMConfig():
            values = {"num_hidden": 12, "sample_steps": 10, "partition_steps": 10, "partition_chains": 8}
        case ConvNetConfig():
            values = {"channels": (8,) * len(config.model.channels), "feature_dim": 8, "optimizer.weight_decay": 0.0}
        case _:
            raise NotImplementedError(f"say here how to make a {type(config.model).__name__} narrow")
    return override(config, {f"model.{path}": value for path, value in values.items()})


def settings(**changes: Any) -> TrainingConfig:
    """Float32, contiguous, fused, one micro-batch of 8 images, a report after every round."""
    plain = TrainingConfig(images=ENDLESS, batch_size=8, rounds_per_report=1, num_threads=1)
    return replace(plain, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class DoubleConfig:
    """A model that computes in float64, where sums in another order differ by 1e-16."""

    model: ModelConfig

    def build(self, data: DataSpec) -> Learner:
        return self.model.build(data).double()


def start(name: str, *, double: bool = False, model: Mapping[str, Any] | None = None, **changes: Any) -> Training:
    """A fresh run of a narrow preset; `model` overrides fields of its model, `changes` fields of `settings`."""
    config = override(narrow(preset(name)), {f"model.{path}": value for path, value in (model or {}).items()})
    built = DoubleConfig(model=config.model) if double else config.model
    return founded(Training(built, settings(**changes), 0, MadeUpImages(spec_of(name))))


def founded(training: Training) -> Training:
    """The same; the first model of a two-stage family is initialised from data, or all images would have one code."""
    learner = training.state.learner
    if isinstance(learner, BuildsOn):
        with seeded(0), torch.no_grad():
            learner.foundation.prepare(training.stream.take(0, MadeUpImages.num_images))
    return training


def advance(training: Training, rounds: int = ROUNDS) -> Training:
    """Train so many rounds more."""
    target = training.moment.round + rounds
    while training.moment.round < target:
        training.advance()
    return training


def everything(training: Training) -> dict[str, Tensor]:
    """Weights, buffers, averages, moments and memories by name."""
    groups = capture(training, config="{}", data_digest="d", evaluations=[]).tensors
    return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}


def weights(training: Training) -> dict[str, Tensor]:
    """A copy of every weight."""
    return {name: parameter.detach().clone() for name, parameter in training.state.learner.named_parameters()}


@contextmanager
def without_noise() -> Iterator[None]:
    """Every draw of a signal becomes its mean, so that a loss is a function of the images alone."""
    fixed = {
        "torch.randn": lambda *size, **how: torch.full(size, 0.5, **how),
        "torch.randn_like": torch.zeros_like,
        "torch.rand": lambda *size, **how: torch.full(size, 0.5, **how),
        "torch.rand_like": lambda values: torch.full_like(values, 0.5),
        "torch.Tensor.bernoulli": lambda probability: probability,
    }
    with ExitStack() as stack:
        for name, substitute in fixed.items():
            stack.enter_context(mock.patch(name, substitute))
        yield
