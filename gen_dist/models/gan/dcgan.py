"""DCGAN: a generator and a critic made of strided convolutions only, with a free choice of the game they play.

A. Radford, L. Metz, S. Chintala (2015): Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, arXiv:1511.06434.

Departures: kernels are 4 x 4 (the paper's figure 1 shows 5 x 5), which a stride of 2 divides, so that no checkerboard
is built in; the latent is Gaussian, not uniform; normalisation and objective are choices; sizes other than 64 x 64.

| symbol | paper | here |
|---|---|---|
| z | 100 uniform numbers | `latents`, standard normal |
| G(z) | image in [-1, 1] | `generator(latents)` |
| D(x) | probability that x is real | sigmoid of `critic(images)`, whose raw output is called the score |
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import final

from torch import nn

from gen_dist.learner import Learner
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.game import GameConfig
from gen_dist.models.gan.unconditional import UnconditionalGAN, check_ema_decay
from gen_dist.models.paper import Paper
from gen_dist.nn.initialization import initialised
from gen_dist.nn.normalization import Normalization, constrained, needs_bias, normalization_layer
from gen_dist.nn.resample import num_halvings
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec

PAPER = Paper(
    title="Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
    authors="Alec Radford, Luke Metz, Soumith Chintala",
    year=2015,
    arxiv="1511.06434",
)

PAPER_OPTIMIZER = Adam(learning_rate=2e-4, betas=(0.5, 0.999))


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvolutionalGANConfig(ABC):
    """Settings of every GAN with these networks.

    Attributes:
        game: what the two networks minimise, how often they move, and what keeps them stable.
        latent_dim: length of z.
        generator_channels: channels at half the image's size; they double with every halving below that.
        critic_channels: the same for the critic.
        base_size: both networks halve the image for as long as no side gets shorter than this.
        generator_normalization: of all layers but the last.
        critic_normalization: of all layers but the first and the last ("spectral": of all layers).
        initial_std: standard deviation of the first weights, or None for He initialisation.
        generator_optimizer: of the generator.
        critic_optimizer: of the critic.
        schedule: of both learning rates.
        ema_decay: of the generator's average that is evaluated instead of its weights, or None.
    """

    game: GameConfig = field(default_factory=GameConfig)
    latent_dim: int = 100
    generator_channels: int = 128
    critic_channels: int = 128
    base_size: int = 4
    generator_normalization: Normalization = "batch"
    critic_normalization: Normalization = "batch"
    initial_std: float | None = 0.02
    generator_optimizer: OptimizerConfig = PAPER_OPTIMIZER
    critic_optimizer: OptimizerConfig = PAPER_OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = 0.999

    def __post_init__(self) -> None:
        check_at_least_one(self, "latent_dim", "generator_channels", "critic_channels", "base_size")
        if self.initial_std is not None and not 0.0 < self.initial_std < float("inf"):
            raise ValueError(f"model.initial_std is {self.initial_std}: it must be a positive, finite number")
        check_ema_decay(self.ema_decay)
        self.game.check_critic_normalization(self.critic_normalization)

    @abstractmethod
    def build(self, data: DataSpec) -> Learner:
        """Both networks for such images, with fresh weights from torch's global generator.

        Raises:
            ValueError: the images can't be halved evenly down to about `base_size`; the message says which can.
        """


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DCGANConfig(ConvolutionalGANConfig):
    """Settings of a DCGAN."""

    def build(self, data: DataSpec) -> UnconditionalGAN:
        """Both networks for such images; see `ConvolutionalGANConfig.build`."""
        return UnconditionalGAN(
            self,
            convolutional_generator(self, data, inputs=self.latent_dim),
            convolutional_critic(self, data, channels=data.channels),
        )


def convolutional_generator(config: ConvolutionalGANConfig, data: DataSpec, *, inputs: int) -> nn.Sequential:
    """Vectors of `inputs` numbers to images in [-1, 1]: a projection to the base size, then doublings."""
    kind, depth = config.generator_normalization, num_halvings(data.height, data.width, config.base_size)
    height, width = data.height >> depth, data.width >> depth
    channels = config.generator_channels << (depth - 1)
    projection = nn.Linear(inputs, channels * height * width, bias=needs_bias(kind))
    layers: list[nn.Module] = [
        constrained(kind, _initialised(config, projection)),
        nn.Unflatten(1, (channels, height, width)),
        normalization_layer(kind, channels),
        nn.ReLU(),
    ]
    for _ in range(depth - 1):
        doubling = nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=needs_bias(kind))
        channels //= 2
        layers += [constrained(kind, _initialised(config, doubling)), normalization_layer(kind, channels), nn.ReLU()]
    last = nn.ConvTranspose2d(channels, data.channels, 4, stride=2, padding=1)
    return nn.Sequential(*layers, _initialised(config, last), nn.Tanh())


def convolutional_critic(config: ConvolutionalGANConfig, data: DataSpec, *, channels: int) -> nn.Sequential:
    """Images to one unbounded score: halvings down to the base size, then a linear layer over all of it."""
    kind, depth = config.critic_normalization, num_halvings(data.height, data.width, config.base_size)
    first = nn.Conv2d(channels, config.critic_channels, 4, stride=2, padding=1)
    layers: list[nn.Module] = [constrained(kind, _initialised(config, first)), nn.LeakyReLU(0.2)]
    channels = config.critic_channels
    for _ in range(depth - 1):
        halving = nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, bias=needs_bias(kind))
        channels *= 2
        layers += [
            constrained(kind, _initialised(config, halving)),
            normalization_layer(kind, channels),
            nn.LeakyReLU(0.2),
        ]
    # A Wasserstein critic's zero means nothing: its last bias would have a gradient of exactly zero.
    last = nn.Linear(channels * (data.height >> depth) * (data.width >> depth), 1, bias=config.game.has_zero)
    return nn.Sequential(*layers, nn.Flatten(), constrained(kind, _initialised(config, last)))


def _initialised(
    config: ConvolutionalGANConfig, layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d
) -> nn.Linear | nn.Conv2d | nn.ConvTranspose2d:
    """The layer with fresh weights: N(0, 0.02) in the paper (section 4); biases start at zero."""
    return initialised(layer, config.initial_std)
