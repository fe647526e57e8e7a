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

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, Loss, Phase, Player
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.game import Game, GameConfig
from gen_dist.models.paper import Paper
from gen_dist.nn.normalization import Normalization, constrained, needs_bias, normalization_layer
from gen_dist.nn.resample import num_halvings
from gen_dist.optimization import Adam, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_signed, to_signed

PAPER = Paper(
    title="Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
    authors="Alec Radford, Luke Metz, Soumith Chintala",
    year=2015,
    arxiv="1511.06434",
)

_PAPER_OPTIMIZER = Adam(learning_rate=2e-4, betas=(0.5, 0.999))


@dataclass(frozen=True, kw_only=True, slots=True)
class DCGANConfig:
    """Settings of a DCGAN.

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
    generator_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    critic_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    ema_decay: float | None = 0.999

    def __post_init__(self) -> None:
        check_at_least_one(self, "latent_dim", "generator_channels", "critic_channels", "base_size")
        if self.initial_std is not None and not 0.0 < self.initial_std < float("inf"):
            raise ValueError(f"model.initial_std is {self.initial_std}: it must be a positive, finite number")
        if self.ema_decay is not None and not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"model.ema_decay is {self.ema_decay}: it must lie in [0, 1), or be None for no average")
        self.game.check_critic_normalization(self.critic_normalization)

    def build(self, data: DataSpec) -> "DCGAN":
        """Both networks for such images, with fresh weights from torch's global generator.

        Raises:
            ValueError: the images can't be halved evenly down to about `base_size`; the message says which can.
        """
        return DCGAN(self, data)


@final
class DCGAN(Learner):
    """Two players. The critic sees real and generated images in separate batches, so batch norm keeps them apart."""

    def __init__(self, config: DCGANConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.game = Game(config.game)
        self.generator = _generator(config, data)
        self.critic = _critic(config, data)

    @property
    def players(self) -> Mapping[str, Player]:
        """The critic, and the generator with its moving average."""
        config = self.config
        return {
            "critic": Player(module=self.critic, optimizer=config.critic_optimizer),
            "generator": Player(
                module=self.generator, optimizer=config.generator_optimizer, ema_decay=config.ema_decay
            ),
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """Critic steps, each on a fresh batch, then one generator step."""
        return self.game.phases(self.critic_signal, self.penalty_signal, self.generator_signal)

    def critic_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to tell these images from as many generated ones."""
        return self.game.critic_loss(self._scores, *self._pair(batch), context)

    def penalty_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to be less steep, where that has steps of its own."""
        return self.game.penalty_loss(self._scores, *self._pair(batch), context)

    def generator_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the generator should move to raise the critic's score of its images."""
        fake = self.generator(self.draw_latents(len(batch)))
        return self.game.generator_loss(self._scores, self._real(batch), fake, context, self._features)

    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """What the game asks for after a step."""
        self.game.settle(player, self.critic, statistics)

    @torch.no_grad()
    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Re-estimate the generator's batch statistics for its averaged weights, from noise alone.

        The running statistics belong to weights of the past, mixed by momentum; the standing statistics (Brock et al.
        2018, arXiv:1809.11096) are the plain mean over fresh batches, here one of each size in `batches`.
        The vectors of spectral normalisation catch up in the same passes.
        """
        if not batches:
            return
        norms = [layer for layer in self.generator.modules() if isinstance(layer, nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in norms]
        for layer in norms:
            layer.reset_running_stats()
            layer.momentum = None  # torch's name for a cumulative average
        was_training = self.generator.training
        self.generator.train()
        for batch in batches:
            self.generator(self.draw_latents(len(batch)))
        self.generator.train(was_training)
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum

    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Images from latents whose standard deviation is the temperature.

        Raises:
            ValueError: a condition was given; this family knows no classes.
        """
        if condition is not None:
            raise ValueError("dcgan draws images without a condition: leave condition out")
        return self.decode(self.draw_latents(num) * temperature)

    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Standard normal latents from torch's global generator."""
        weight = next(self.generator.parameters())
        return torch.randn(num, self.config.latent_dim, dtype=weight.dtype, device=weight.device)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The generator's images, in evaluation mode."""
        was_training = self.generator.training
        self.generator.eval()
        images = from_signed(self.generator(latents.to(self._dtype)))
        self.generator.train(was_training)
        return images

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.generator.parameters()).dtype

    def _real(self, batch: ImageBatch) -> Tensor:
        return to_signed(batch.images, self._dtype)

    def _pair(self, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Real images, and as many generated ones without a graph."""
        with torch.no_grad():
            fake = self.generator(self.draw_latents(len(batch))).to(self._dtype)
        return self._real(batch), fake

    def _features(self, images: Tensor) -> Tensor:
        """What the critic's last layer reads."""
        features: Tensor = self.critic[:-1](images).to(self._dtype)
        return features

    def _scores(self, images: Tensor) -> Tensor:
        """One raw output per image, in the parameters' precision whatever autocast made of it."""
        scores: Tensor = self.critic(images).squeeze(1).to(self._dtype)
        return scores


def _generator(config: DCGANConfig, data: DataSpec) -> nn.Sequential:
    """Latents to images in [-1, 1]: a projection to the base size, then doublings."""
    kind, depth = config.generator_normalization, num_halvings(data.height, data.width, config.base_size)
    height, width = data.height >> depth, data.width >> depth
    channels = config.generator_channels << (depth - 1)
    projection = nn.Linear(config.latent_dim, channels * height * width, bias=needs_bias(kind))
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


def _critic(config: DCGANConfig, data: DataSpec) -> nn.Sequential:
    """Images to one unbounded score: halvings down to the base size, then a linear layer over all of it."""
    kind, depth = config.critic_normalization, num_halvings(data.height, data.width, config.base_size)
    channels = config.critic_channels
    first = nn.Conv2d(data.channels, channels, 4, stride=2, padding=1)
    layers: list[nn.Module] = [constrained(kind, _initialised(config, first)), nn.LeakyReLU(0.2)]
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
    config: DCGANConfig, layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d
) -> nn.Linear | nn.Conv2d | nn.ConvTranspose2d:
    """The layer with fresh weights: N(0, 0.02) in the paper (section 4); biases start at zero."""
    std = config.initial_std
    if std is None:
        # A transposed convolution of stride s sums only every s-th row and column of its kernel.
        fan_in = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):
            fan_in = layer.in_channels * math.prod(layer.kernel_size) // math.prod(layer.stride)
        std = math.sqrt(2.0 / fan_in)
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
