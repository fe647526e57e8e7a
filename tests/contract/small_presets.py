"""Every preset with narrow networks, so that the whole table trains in seconds, and made-up images of its size."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from gen_dist.capabilities import BuildsOn
from gen_dist.config import RunConfig, override
from gen_dist.distributed.seeding import seeded
from gen_dist.learner import Learner, ModelConfig
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
from gen_dist.models.classifier.matcher import MatcherConfig
from gen_dist.models.composed.code_prior import CodePriorConfig
from gen_dist.models.composed.text_to_image import TextToImageConfig
from gen_dist.models.flow.ffjord import FFJORDConfig
from gen_dist.models.flow.glow import GlowConfig
from gen_dist.models.flow.nice import NICEConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.models.gan.biggan import BigGANConfig
from gen_dist.models.gan.cyclegan import CycleGANConfig
from gen_dist.models.gan.dcgan import ConvolutionalGANConfig
from gen_dist.models.gan.original import OriginalGANConfig
from gen_dist.models.gan.pix2pix import Pix2PixConfig
from gen_dist.models.gan.progressive import ProgressiveConfig
from gen_dist.models.gan.resnet import ResNetGANConfig
from gen_dist.models.markov.gsn import GSNConfig
from gen_dist.models.table import family_of
from gen_dist.models.vae.autoencoder import AutoencoderConfig
from gen_dist.models.vae.iaf import IAFVAEConfig
from gen_dist.models.vae.settings import LatentVariableConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.nn.attention import SelfAttention
from gen_dist.presets import PRESETS, preset
from gen_dist.training.checkpoint import capture
from gen_dist.training.settings import TrainingConfig
from gen_dist.training.training import Training
from gen_dist.types import DataSpec, ImageBatch, SourceSpec

MOST_PIXELS = 32  # of a side: a preset for larger images differs from these in numbers only, and takes the most time
FULL_NAMES = tuple(name for name in PRESETS if family_of(preset(name).model).kind != "baseline")  # those have no phases
NAMES = tuple(name for name in FULL_NAMES if int(name.rsplit("-", 1)[1]) <= MOST_PIXELS)
# Contrastive divergence is a small difference of large averages, a solver chooses its steps by small errors, and NADE
# sums over all earlier values: they leave autocast.
FULL_PRECISION = (
    *("rbm-8", "rbm-28", "dbm-8", "dbm-28", "ffjord-8", "ffjord-28"),
    *("nade-8", "nade-28", "rnade-8", "rnade-28"),
)
ENDLESS = 10**9
ROUNDS = 3
CAPTION_BYTES = 11


def spec_of(name: str, size: int | None = None) -> DataSpec:
    """The images that a preset is for: the last part of its name is their size, or another size instead."""
    own = int(name.rsplit("-", 1)[1])
    size = own if size is None else size
    channels = 1 if own in (8, 28) else 3
    return DataSpec(
        channels=channels,
        height=size,
        width=size,
        class_names=tuple("abcde"),
        source=source_of(name, channels, size),
        caption_bytes=CAPTION_BYTES if isinstance(preset(name).model, MatcherConfig | TextToImageConfig) else 0,
    )


def source_of(name: str, channels: int, size: int) -> SourceSpec | None:
    """What a translation preset translates from; None for all others."""
    factors = {"pix2pix": 1, "cyclegan": 1, "super-resolution": 4}  # how much larger the image is
    factor = factors.get(name.rsplit("-", 1)[0])
    return None if factor is None else SourceSpec(channels=channels, height=size // factor, width=size // factor)


def made_up_captions(spec: DataSpec, labels: Tensor) -> Tensor | None:
    """A caption for each image that names its class, so that some read the same; None if the data has none."""
    if not spec.caption_bytes:
        return None
    texts = [f"{spec.class_names[label]} {'é' * (index % 4)}" for index, label in enumerate(labels.tolist())]
    return torch.tensor([[*text.encode().ljust(spec.caption_bytes, b"\0")] for text in texts], dtype=torch.uint8)


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
        self.captions = made_up_captions(spec, self.labels)
        self.sources: Tensor | None = None
        if spec.source is not None:
            values = random.integers(0, 256, (self.num_images, *spec.source.shape), np.uint8)
            self.sources = torch.from_numpy(values)

    def take(self, start: int, count: int) -> ImageBatch:
        chosen = torch.arange(start, start + count) % self.num_images
        images, labels = self.images[chosen], self.labels[chosen]
        sources = None if self.sources is None else self.sources[chosen]
        if self.pin_memory:
            images, labels = images.pin_memory(), labels.pin_memory()
            sources = None if sources is None else sources.pin_memory()
        captions = None if self.captions is None else self.captions[chosen]
        return ImageBatch(images=images, labels=labels, sources=sources, captions=captions)

    def prefetch(self, start: int, count: int) -> None: ...


SMALL_MATCHER = {
    "channels": (8, 8),
    "character_dim": 4,
    "text_channels": (8, 8),
    "recurrent_dim": 8,
    "embedding_dim": 8,
}


def narrow(config: RunConfig) -> RunConfig:
    """The same model with few channels. Without weight decay, which moves weights that nothing else moves."""
    values: dict[str, Any]
    match config.model:
        case ConvolutionalGANConfig() | ResNetGANConfig():
            values = {"latent_dim": 6, "generator_channels": 8, "critic_channels": 8}
        case Pix2PixConfig():
            values = {"generator_channels": 4, "critic_channels": 4, "patch_size": min(34, config.model.patch_size)}
        case CycleGANConfig():
            values = {"generator_channels": 4, "critic_channels": 4, "num_blocks": 1, "pool_size": 8}
            values |= {"patch_size": min(34, config.model.patch_size)}
        case OriginalGANConfig():
            values = {"latent_dim": 6, "generator_hidden": (12, 12), "critic_hidden": (8, 8), "critic_pieces": 2}
        case BigGANConfig():
            chunks = len(config.model.generator_multipliers)
            values = {"latent_dim": 2 * chunks, "embedding_dim": 3, "generator_channels": 2, "critic_channels": 2}
            if config.model.attention_size is not None:
                values["attention_size"] = min(16, config.model.attention_size)
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
        case MatcherConfig():
            values = {**SMALL_MATCHER, "optimizer.weight_decay": 0.0}
        case TextToImageConfig():
            values = {"latent_dim": 6, "text_dim": 5, "generator_channels": 8, "critic_channels": 8}
            values |= {f"foundation.{path}": value for path, value in SMALL_MATCHER.items()}
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


def start(
    name: str,
    *,
    double: bool = False,
    model: Mapping[str, Any] | None = None,
    spec: DataSpec | None = None,
    **changes: Any,
) -> Training:
    """A fresh run of a narrow preset; `model` overrides fields of its model, `changes` fields of `settings`."""
    config = override(narrow(preset(name)), {f"model.{path}": value for path, value in (model or {}).items()})
    built = DoubleConfig(model=config.model) if double else config.model
    return founded(Training(built, settings(**changes), 0, MadeUpImages(spec or spec_of(name))))


def founded(training: Training) -> Training:
    """The same, with what would stand still at first brought to move.

    The first model of a two-stage family is initialised from data, or all images would have one code. Attention
    attends: a gain of 0 leaves the layers behind it without a gradient.
    """
    learner = training.state.learner
    for module in learner.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gain, 0.5)
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
