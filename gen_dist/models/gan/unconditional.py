"""The learner of every GAN whose generator knows nothing but noise: papers differ in its two networks and settings."""

from collections.abc import Mapping, Sequence
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, Loss, Phase, Player
from gen_dist.models.gan.game import Game, GameConfig
from gen_dist.models.gan.generating import dtype_of, normal_latents, render, standing_statistics
from gen_dist.optimization import LearningRateSchedule, OptimizerConfig
from gen_dist.types import ImageBatch, to_signed


@runtime_checkable
class AdversarialConfig(Protocol):
    """What a configuration says about the two players.

    Attributes:
        game: what they minimise, how often they move, and what keeps them stable.
        latent_dim: length of z.
        generator_optimizer: of the generator.
        critic_optimizer: of the critic.
        schedule: of both learning rates.
        ema_decay: of the generator's average that is evaluated instead of its weights, or None.
    """

    @property
    def game(self) -> GameConfig: ...
    @property
    def latent_dim(self) -> int: ...
    @property
    def generator_optimizer(self) -> OptimizerConfig: ...
    @property
    def critic_optimizer(self) -> OptimizerConfig: ...
    @property
    def schedule(self) -> LearningRateSchedule: ...
    @property
    def ema_decay(self) -> float | None: ...


def check_ema_decay(ema_decay: float | None) -> None:
    """Raise ValueError unless it is a decay in [0, 1) or None."""
    if ema_decay is not None and not 0.0 <= ema_decay < 1.0:
        raise ValueError(f"model.ema_decay is {ema_decay}: it must lie in [0, 1), or be None for no average")


def adversarial_players(config: AdversarialConfig, critic: nn.Module, generator: nn.Module) -> dict[str, Player]:
    """The critic, and the generator with its moving average."""
    return {
        "critic": Player(module=critic, optimizer=config.critic_optimizer, schedule=config.schedule),
        "generator": Player(
            module=generator,
            optimizer=config.generator_optimizer,
            schedule=config.schedule,
            ema_decay=config.ema_decay,
        ),
    }


@final
class UnconditionalGAN(Learner):
    """Two players. The critic sees real and generated images in separate batches, so batch norm keeps them apart.

    Args:
        config: of the players and of their game.
        generator: latents (n, z) to images in [-1, 1].
        critic: images to one score each, (n, 1); its last layer reads the features of feature matching, (n, f).
    """

    def __init__(self, config: AdversarialConfig, generator: nn.Module, critic: nn.Sequential) -> None:
        super().__init__()
        self.config = config
        self.game = Game(config.game)
        self.generator = generator
        self.critic = critic

    @property
    def players(self) -> Mapping[str, Player]:
        """The critic, and the generator with its moving average."""
        return adversarial_players(self.config, self.critic, self.generator)

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

    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Standing statistics of the averaged weights from noise alone, one batch of each size in `batches`."""
        if batches:
            with standing_statistics(self.generator):
                for batch in batches:
                    self.generator(self.draw_latents(len(batch)))

    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Images from latents whose standard deviation is the temperature.

        Raises:
            ValueError: a condition was given; this model knows no classes.
        """
        if condition is not None:
            raise ValueError("this GAN draws images without a condition: leave condition out")
        return self.decode(self.draw_latents(num) * temperature)

    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Standard normal latents from torch's global generator."""
        return normal_latents(self.generator, num, self.config.latent_dim)

    def decode(self, latents: Float[Tensor, "n z"]) -> UInt8[Tensor, "n c h w"]:
        """The generator's images, in evaluation mode."""
        return render(self.generator, latents.to(self._dtype))

    @property
    def _dtype(self) -> torch.dtype:
        return dtype_of(self.generator)

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
