"""pix2pix: a GAN whose condition is an image; the critic judges pairs, and L1 holds the result to the target.

P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros (2016): Image-to-Image Translation with Conditional Adversarial Networks,
arXiv:1611.07004.

Departures: normalisation is per image and channel, which is what the paper's batch normalisation with statistics of
the test batch amounts to at its batch size of 1; the U-Net's depth follows from the image size, and its bottleneck is
not normalised (a single pixel minus its mean is nothing). Sources smaller than the images by a power of two make it a
super-resolution network: the U-Net works at the source's size, and sub-pixel convolutions (Shi et al. 2016,
arXiv:1609.05158) double its features up to the image's; the critic sees the source with its pixels repeated.

| symbol | paper | here |
|---|---|---|
| x | input image | `batch.sources` |
| y | target image | `batch.images` |
| z | noise: dropout in the decoder, at test time as well | drawn inside `generator` |
| G(x, z) | output image | `generator(sources)` |
| D(x, y) | probability per patch that y is real | sigmoid of `scores(sources, images)` |
| λ | 100 | `l1_weight` |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, Loss, Phase, Player
from gen_dist.losses.adversarial import critic_loss, critic_metrics, generator_loss
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.sources import check_sources, source_of, sources_of
from gen_dist.models.paper import Paper
from gen_dist.nn.initialization import draw_weights
from gen_dist.nn.patch import check_patch_size, patch_critic
from gen_dist.nn.resample import pixel_shuffle_doubling
from gen_dist.nn.unet import UNet, unet_depth
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, SourceSpec, from_signed, to_signed

PAPER = Paper(
    title="Image-to-Image Translation with Conditional Adversarial Networks",
    authors="Phillip Isola, Jun-Yan Zhu, Tinghui Zhou, Alexei A. Efros",
    year=2016,
    arxiv="1611.07004",
)

_PAPER_OPTIMIZER = Adam(learning_rate=2e-4, betas=(0.5, 0.999))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pix2PixConfig:
    """Settings of a pix2pix.

    Attributes:
        objective: the game that the two networks play; see `gen_dist/losses/adversarial.py`.
        l1_weight: of the mean absolute difference between output and target, both in [-1, 1]; 0 leaves it out.
        patch_size: side of the patches that the critic judges: 1, 16, 34, 70, 142 or 286.
        generator_channels: of the U-Net's first layer; they double with every layer, up to eight times as many.
        critic_channels: the same for the critic.
        dropout: probability in the decoder's inner layers, in training and in translating; 0 makes one output a source.
        initial_std: standard deviation of the first weights.
        generator_optimizer: of the generator.
        critic_optimizer: of the critic.
        schedule: of both learning rates.
        ema_decay: of the generator's average that is evaluated instead of its weights, or None.
    """

    objective: Literal["non-saturating", "least-squares"] = "non-saturating"
    l1_weight: float = 100.0
    patch_size: int = 70
    generator_channels: int = 64
    critic_channels: int = 64
    dropout: float = 0.5
    initial_std: float = 0.02
    generator_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    critic_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "generator_channels", "critic_channels")
        check_patch_size(self.patch_size)
        if not 0.0 <= self.l1_weight < float("inf"):
            raise ValueError(f"model.l1_weight is {self.l1_weight}: it must be 0 or a positive, finite number")
        if not 0.0 < self.initial_std < float("inf"):
            raise ValueError(f"model.initial_std is {self.initial_std}: it must be a positive, finite number")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"model.dropout is {self.dropout}: it must lie in [0, 1)")
        if self.ema_decay is not None and not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"model.ema_decay is {self.ema_decay}: it must lie in [0, 1), or be None for no average")

    def build(self, data: DataSpec) -> "Pix2Pix":
        """Both networks for such images and sources, with fresh weights from torch's global generator.

        Raises:
            ValueError: the data has no sources, they belong to no image, or the sizes don't fit; the message says what
                to do.
        """
        return Pix2Pix(self, data)


@final
class Pix2Pix(Learner):
    """Two players. The generator's only noise is dropout, which therefore never ends."""

    def __init__(self, config: Pix2PixConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.source = source_of(data, "pix2pix")
        if not self.source.paired:
            raise ValueError(
                "pix2pix learns from pairs, and this dataset's sources belong to no image in particular: import the "
                "data as pairs, or train a cyclegan preset, which needs none"
            )
        self.enlargement = enlargement(self.source, data)
        self.generator = _generator(config, self.source, data, self.enlargement)
        self.critic = patch_critic(
            self.source.channels + data.channels,
            config.critic_channels,
            config.patch_size,
            height=data.height,
            width=data.width,
        )
        draw_weights(self.critic, config.initial_std)

    @property
    def players(self) -> Mapping[str, Player]:
        """The critic and the generator."""
        config = self.config
        return {
            "critic": Player(module=self.critic, optimizer=config.critic_optimizer, schedule=config.schedule),
            "generator": Player(
                module=self.generator,
                optimizer=config.generator_optimizer,
                schedule=config.schedule,
                ema_decay=config.ema_decay,
            ),
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """One step of the critic, then one of the generator."""
        return (
            Phase(name="critic", player="critic", signal=self.critic_signal),
            Phase(name="generator", player="generator", signal=self.generator_signal),
        )

    def critic_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to tell these pairs from those with a generated image.

        The objective is halved, which slows the critic down relative to the generator.
        """
        sources, images = self._signed(batch)
        with torch.no_grad():
            outputs = self.generator(sources).to(images.dtype)
        real_scores, fake_scores = self.scores(sources, images), self.scores(sources, outputs)
        loss = 0.5 * critic_loss(self.config.objective, real_scores, fake_scores)
        return Loss(loss, critic_metrics(self.config.objective, real_scores, fake_scores))

    def generator_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the generator should move to raise the critic's scores and to come close to the targets."""
        sources, images = self._signed(batch)
        outputs = self.generator(sources).to(images.dtype)
        adversarial = generator_loss(self.config.objective, self.scores(sources, outputs))
        difference = (outputs - images).abs().mean()
        loss = adversarial + self.config.l1_weight * difference
        return Loss(loss, {"adversarial": adversarial.detach(), "l1": difference.detach()})

    def scores(self, sources: Float[Tensor, "b s i j"], images: Float[Tensor, "b c h w"]) -> Float[Tensor, " n"]:
        """The critic's raw outputs for all patches of all pairs, in the parameters' precision."""
        factor = self.enlargement
        if factor > 1:
            sources = F.interpolate(sources, scale_factor=float(factor), mode="nearest")
        scores: Tensor = self.critic(torch.cat([sources, images], dim=1))
        return scores.flatten().to(images.dtype)

    @torch.no_grad()
    def translate(self, sources: UInt8[Tensor, "b s i j"]) -> UInt8[Tensor, "b c h w"]:
        """One image for each source; dropout draws its noise from torch's global generator.

        Raises:
            ValueError: the sources have another shape than those that the model was built for.
        """
        check_sources(sources, self.source.shape)
        return from_signed(self.generator(to_signed(sources, self._dtype)))

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.generator.parameters()).dtype

    def _signed(self, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        return to_signed(sources_of(batch), self._dtype), to_signed(batch.images, self._dtype)


def enlargement(source: SourceSpec, data: DataSpec) -> int:
    """How many times higher and wider an image is than its source: a power of two, 1 for the same size.

    Raises:
        ValueError: it is none.
    """
    factor = data.height // source.height
    same = (source.height * factor, source.width * factor) == (data.height, data.width)
    if not same or factor.bit_count() != 1:
        raise ValueError(
            f"sources are {source.height} x {source.width} and images {data.height} x {data.width} pixels: pix2pix "
            "takes sources of the same size, or smaller by one power of two in both directions; resize one of them"
        )
    return factor


def _generator(config: Pix2PixConfig, source: SourceSpec, data: DataSpec, factor: int) -> nn.Sequential:
    """Sources to images, both in [-1, 1]: a U-Net, and after it sub-pixel convolutions if the image is larger."""
    features = config.generator_channels
    network = UNet(
        source.channels,
        data.channels if factor == 1 else features,
        features=features,
        depth=unet_depth(source.height, source.width),
        dropout=config.dropout,
    )
    draw_weights(network, config.initial_std)
    layers: list[nn.Module] = [network]
    if factor > 1:
        layers.append(nn.ReLU())
        for _ in range(factor.bit_length() - 1):
            layers += [pixel_shuffle_doubling(features, features), nn.ReLU()]
        last = nn.Conv2d(features, data.channels, 3, padding=1)
        draw_weights(last, config.initial_std)
        layers.append(last)
    return nn.Sequential(*layers, nn.Tanh())
