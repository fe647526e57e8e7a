"""Progressive GAN: both networks start with tiny images and grow, each new level being faded in.

T. Karras, T. Aila, S. Laine, J. Lehtinen (2018): Progressive Growing of GANs for Improved Quality, Stability, and
Variation, ICLR, arXiv:1710.10196.

The stages of the run (`training.stages`) decide the size: the last one has full size, each one before it half of that.
A run without stages trains at full size from the start.

Departures: images need not be square, nor their sides powers of two; the 4x4 convolution that makes the first features
from a latent is a linear layer, with a bias for each pixel; deviations are taken over groups of 4 images, as in the
authors' code (the paper: over the whole minibatch); optimizers start anew with each size, as in that code.

| symbol | paper | here |
|---|---|---|
| z | a point on a sphere | `latents`, whose squares have mean 1 |
| alpha | weight of the new level | `Growth.fade` |
| w / c | weight over He's constant | `EqualizedLinear`, `EqualizedConv2d` |
| epsilon_drift | weight of the squared real scores | `game.drift_weight` |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, Loss, Phase, Player
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.game import Game, GameConfig
from gen_dist.models.gan.growing_networks import GrowingCritic, GrowingGenerator, Growth, double, halve, pixel_norm
from gen_dist.models.paper import Paper
from gen_dist.nn.resample import num_halvings
from gen_dist.optimization import Adam, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, Moment, from_signed, to_signed

PAPER = Paper(
    title="Progressive Growing of GANs for Improved Quality, Stability, and Variation",
    authors="Tero Karras, Timo Aila, Samuli Laine, Jaakko Lehtinen",
    year=2018,
    arxiv="1710.10196",
)

_PAPER_OPTIMIZER = Adam(learning_rate=1e-3, betas=(0.0, 0.99))


def _paper_game() -> GameConfig:
    return GameConfig(objective="wasserstein-gp", drift_weight=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressiveConfig:
    """Settings of a progressive GAN.

    Attributes:
        game: what the two networks minimise, how often they move, and what keeps them stable.
        latent_dim: length of z.
        generator_channels: features at full size; they double with every halving, up to `max_channels`.
        critic_channels: the same for the critic.
        max_channels: of both networks at any size.
        base_size: the image is halved for as long as no side gets shorter than this.
        fade_share: of each stage in which its new level fades in.
        group_size: images of a micro-batch whose deviation the critic sees; 1 shows it none.
        generator_optimizer: of the generator.
        critic_optimizer: of the critic.
        ema_decay: of the generator's average that is evaluated instead of its weights, or None.
    """

    game: GameConfig = field(default_factory=_paper_game)
    latent_dim: int = 512
    generator_channels: int = 16
    critic_channels: int = 16
    max_channels: int = 512
    base_size: int = 4
    fade_share: float = 0.5
    group_size: int = 4
    generator_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    critic_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    ema_decay: float | None = 0.999

    def __post_init__(self) -> None:
        check_at_least_one(
            self, "latent_dim", "generator_channels", "critic_channels", "max_channels", "base_size", "group_size"
        )
        if not 0.0 <= self.fade_share <= 1.0:
            raise ValueError(f"model.fade_share is {self.fade_share}: it must lie in [0, 1]")
        if self.ema_decay is not None and not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"model.ema_decay is {self.ema_decay}: it must lie in [0, 1), or be None for no average")

    def build(self, data: DataSpec) -> "Progressive":
        """Both networks for such images, with fresh weights from torch's global generator.

        Raises:
            ValueError: the images can't be halved evenly down to about `base_size`; the message says which can.
        """
        return Progressive(self, data)


@final
class Progressive(Learner):
    """Two players that grow together, as the moment says; a copy without a clock keeps what it has grown to.

    Attributes:
        level: of the images that it draws; the highest one until a clock is stopped.
        fade: weight of that level against the one below.
    """

    level: Tensor
    fade: Tensor

    def __init__(self, config: ProgressiveConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.num_doublings = num_halvings(data.height, data.width, config.base_size)
        smallest = (data.height >> self.num_doublings, data.width >> self.num_doublings)
        self.game = Game(config.game)
        self.generator = GrowingGenerator(
            config.latent_dim, self._channels(config.generator_channels), smallest, data.channels
        )
        self.critic = GrowingCritic(
            self._channels(config.critic_channels),
            smallest,
            data.channels,
            group_size=config.group_size,
            bias=config.game.has_zero,
        )
        self.register_buffer("level", torch.tensor(self.num_doublings))
        self.register_buffer("fade", torch.tensor(1.0))

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

    def growth_at(self, moment: Moment) -> Growth:
        """The level that the stage is for, and how far it has faded in; the first stage of a run fades nothing in."""
        level = max(0, self.num_doublings - moment.stages_left)
        if level == 0 or moment.stage == 0 or moment.stage_progress >= self.config.fade_share:
            return Growth(level)
        return Growth(level, moment.stage_progress / self.config.fade_share)

    def active(self, player: str, moment: Moment) -> list[nn.Parameter]:
        """Those of the levels that there are, and of one or two layers between features and images."""
        network = self.generator if player == "generator" else self.critic
        return network.active(self.growth_at(moment))

    def critic_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to tell these images from as many generated ones."""
        growth = self.growth_at(context.moment)
        return self.game.critic_loss(lambda images: self._scores(images, growth), *self._pair(batch, growth), context)

    def penalty_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to be less steep, where that has steps of its own."""
        growth = self.growth_at(context.moment)
        return self.game.penalty_loss(lambda images: self._scores(images, growth), *self._pair(batch, growth), context)

    def generator_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the generator should move to raise the critic's score of its images."""
        growth = self.growth_at(context.moment)
        fake = self.generator(self.draw_latents(len(batch)), growth)
        return self.game.generator_loss(
            lambda images: self._scores(images, growth),
            self.real_images(batch.images, growth),
            fake,
            context,
            lambda images: self.critic.features(images, growth).to(self._dtype),
        )

    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """What the game asks for after a step."""
        self.game.settle(player, self.critic, statistics)

    @torch.no_grad()
    def stop_clock(self, moment: Moment) -> None:
        """Keep what the networks have grown to."""
        growth = self.growth_at(moment)
        self.level.fill_(growth.level)
        self.fade.fill_(growth.fade)

    def real_images(self, images: UInt8[Tensor, "b c h w"], growth: Growth) -> Float[Tensor, "b c i j"]:
        """Real images in [-1, 1] as the critic is shown them: of the level's size, faded like generated ones."""
        real = halve(to_signed(images, self._dtype), self.num_doublings - growth.level)
        return torch.lerp(double(halve(real)), real, growth.fade) if growth.fading else real

    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Images of full size; what has grown no further is drawn small and enlarged.

        Raises:
            ValueError: a condition was given, or a temperature: this family knows no classes, and its latents have no
                scale.
        """
        if condition is not None:
            raise ValueError("progressive draws images without a condition: leave condition out")
        if temperature != 1.0:
            raise ValueError(
                f"temperature is {temperature}: latents of progressive lie on a sphere, whatever their scale; leave it "
                "at 1"
            )
        return self.decode(self.draw_latents(num))

    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Points on a sphere, uniformly, from torch's global generator."""
        weight = next(self.generator.parameters())
        return pixel_norm(torch.randn(num, self.config.latent_dim, dtype=weight.dtype, device=weight.device))

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The generator's images, enlarged to full size."""
        growth = Growth(int(self.level), float(self.fade))
        images = self.generator(latents.to(self._dtype), growth)
        return from_signed(double(images, self.num_doublings - growth.level))

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.generator.parameters()).dtype

    def _channels(self, at_full_size: int) -> tuple[int, ...]:
        """Features at each level, the smallest image first."""
        halvings = range(self.num_doublings, -1, -1)
        return tuple(min(self.config.max_channels, at_full_size << times) for times in halvings)

    def _pair(self, batch: ImageBatch, growth: Growth) -> tuple[Tensor, Tensor]:
        """Real images, and as many generated ones without a graph."""
        with torch.no_grad():
            fake = self.generator(self.draw_latents(len(batch)), growth).to(self._dtype)
        return self.real_images(batch.images, growth), fake

    def _scores(self, images: Tensor, growth: Growth) -> Tensor:
        """One raw output per image, in the parameters' precision whatever autocast made of it."""
        scores: Tensor = self.critic(images, growth).to(self._dtype)
        return scores
