"""Residual generator and critic: the networks of WGAN-GP's and of spectral normalisation's best results.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville (2017): Improved Training of Wasserstein GANs,
arXiv:1704.00028. T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida (2018): Spectral Normalization for Generative Adversarial
Networks, arXiv:1802.05957, which takes them over with wider generators, the hinge and normalised weights.

Departures: one learning rate schedule in images; the generator's step sees as many images as the critic's, where both
papers' code takes twice as many; sizes other than 32 x 32.

| symbol | paper | here |
|---|---|---|
| z | 128 normal numbers | `latents` |
| G(z) | image in [-1, 1] | `generator(latents)` |
| D(x) | real number | `critic(images)`, the score |
"""

import math
from dataclasses import dataclass, field
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.game import GameConfig
from gen_dist.models.gan.unconditional import UnconditionalGAN, check_ema_decay
from gen_dist.models.paper import Paper
from gen_dist.nn.normalization import Normalization, constrained, needs_bias, normalization_layer
from gen_dist.nn.resample import num_halvings
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec

PAPER = Paper(
    title="Improved Training of Wasserstein GANs",
    authors="Ishaan Gulrajani, Faruk Ahmed, Martin Arjovsky, Vincent Dumoulin, Aaron Courville",
    year=2017,
    arxiv="1704.00028",
)

_PAPER_OPTIMIZER = Adam(learning_rate=2e-4, betas=(0.0, 0.9))


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetGANConfig:
    """Settings of a residual GAN; the defaults are those of WGAN-GP for 32 x 32 images.

    Attributes:
        game: what the two networks minimise, how often they move, and what keeps them stable.
        latent_dim: length of z.
        generator_channels: feature maps of every block of the generator.
        critic_channels: the same for the critic.
        base_size: the generator starts from the image, halved for as long as no side gets shorter than this.
        critic_halvings: first blocks of the critic, each of which halves the image.
        critic_blocks: blocks of the critic after these.
        pooling: whether the critic averages its last feature maps over the image (WGAN-GP) or sums them up (Miyato).
        generator_normalization: before every nonlinearity of the generator.
        critic_normalization: before every nonlinearity of the critic but the first ("spectral": of all weights).
        generator_optimizer: of the generator.
        critic_optimizer: of the critic.
        schedule: of both learning rates.
        ema_decay: of the generator's average that is evaluated instead of its weights, or None.
    """

    game: GameConfig = field(default_factory=lambda: GameConfig(objective="wasserstein-gp", critic_updates=5))
    latent_dim: int = 128
    generator_channels: int = 128
    critic_channels: int = 128
    base_size: int = 4
    critic_halvings: int = 2
    critic_blocks: int = 2
    pooling: Literal["mean", "sum"] = "mean"
    generator_normalization: Normalization = "batch"
    critic_normalization: Normalization = "none"
    generator_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    critic_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = 0.999

    def __post_init__(self) -> None:
        check_at_least_one(self, "latent_dim", "generator_channels", "critic_channels", "base_size", "critic_halvings")
        if self.critic_blocks < 0:
            raise ValueError(f"model.critic_blocks is {self.critic_blocks}: it must be 0 or more")
        check_ema_decay(self.ema_decay)
        self.game.check_critic_normalization(self.critic_normalization)

    def build(self, data: DataSpec) -> UnconditionalGAN:
        """Both networks for such images, with fresh weights from torch's global generator.

        Raises:
            ValueError: the images can't be halved as often as the two networks ask for; the message says which can.
        """
        if data.height % (1 << self.critic_halvings) or data.width % (1 << self.critic_halvings):
            raise ValueError(
                f"model.critic_halvings is {self.critic_halvings}: images of {data.height} x {data.width} pixels "
                "can't be halved so often; choose fewer, or resize the images"
            )
        return UnconditionalGAN(self, _generator(self, data), _critic(self, data))


@final
class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, each after normalisation and ReLU; it may double or halve the image.

    A first block takes images as they are: without a nonlinearity before its first convolution, and pooling the
    shortcut before its convolution, which is cheaper and the same.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kind: Normalization,
        *,
        resample: Literal["up", "down", "none"] = "none",
        first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        hidden = outputs if resample != "down" or first else inputs
        self.resample, self.first = resample, first
        self.before = nn.Identity() if first else nn.Sequential(normalization_layer(kind, inputs), nn.ReLU())
        self.between = nn.Sequential(normalization_layer(kind, hidden), nn.ReLU())
        self.convolution1 = constrained(kind, _initialised(nn.Conv2d(inputs, hidden, 3, 1, 1, bias=needs_bias(kind))))
        self.convolution2 = constrained(kind, _initialised(nn.Conv2d(hidden, outputs, 3, 1, 1, bias=bias)))
        self.shortcut: nn.Module = nn.Identity()
        if resample != "none" or inputs != outputs:
            self.shortcut = constrained(kind, _initialised(nn.Conv2d(inputs, outputs, 1, bias=bias), gain=1.0))

    def forward(self, images: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o r s"]:
        """The block's feature maps, of twice, half or the same size."""
        values = self.before(images)
        if self.resample == "up":
            values = F.interpolate(values, scale_factor=2.0, mode="nearest")
            images = F.interpolate(images, scale_factor=2.0, mode="nearest")
        values = self.convolution2(self.between(self.convolution1(values)))
        if self.first:
            images, values = F.avg_pool2d(images, 2), F.avg_pool2d(values, 2)
        total: Tensor = self.shortcut(images) + values
        return F.avg_pool2d(total, 2) if self.resample == "down" and not self.first else total


@final
class GlobalPooling(nn.Module):
    """Mean or sum of each feature map over the image."""

    def __init__(self, kind: Literal["mean", "sum"]) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One number for each map."""
        return maps.mean(dim=(2, 3)) if self.kind == "mean" else maps.sum(dim=(2, 3))


def _generator(config: ResNetGANConfig, data: DataSpec) -> nn.Sequential:
    """Latents to images in [-1, 1]: a projection to the base size, then blocks that double it."""
    depth = num_halvings(data.height, data.width, config.base_size)
    kind, channels = config.generator_normalization, config.generator_channels
    height, width = data.height >> depth, data.width >> depth
    # Up to the last normalisation a block's output only meets sums and normalisations, which cancel a bias.
    bias = needs_bias(kind)
    blocks = [ResidualBlock(channels, channels, kind, resample="up", bias=bias) for _ in range(depth)]
    return nn.Sequential(
        constrained(kind, _initialised(nn.Linear(config.latent_dim, channels * height * width), gain=1.0)),
        nn.Unflatten(1, (channels, height, width)),
        *blocks,
        normalization_layer(kind, channels),
        nn.ReLU(),
        _initialised(nn.Conv2d(channels, data.channels, 3, 1, 1), gain=1.0),
        nn.Tanh(),
    )


def _critic(config: ResNetGANConfig, data: DataSpec) -> nn.Sequential:
    """Images to one score: blocks that halve, blocks that do not, and a linear layer without a bias."""
    kind, channels = config.critic_normalization, config.critic_channels
    blocks = [ResidualBlock(data.channels, channels, kind, resample="down", first=True)]
    blocks += [ResidualBlock(channels, channels, kind, resample="down") for _ in range(config.critic_halvings - 1)]
    blocks += [ResidualBlock(channels, channels, kind) for _ in range(config.critic_blocks)]
    return nn.Sequential(
        *blocks,
        nn.ReLU(),
        GlobalPooling(config.pooling),
        constrained(kind, _initialised(nn.Linear(channels, 1, bias=False), gain=1.0)),
    )


@torch.no_grad()
def _initialised(layer: nn.Linear | nn.Conv2d, gain: float = math.sqrt(2.0)) -> nn.Linear | nn.Conv2d:
    """Uniform Glorot weights, larger by sqrt(2) where a ReLU comes first; biases start at zero."""
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
