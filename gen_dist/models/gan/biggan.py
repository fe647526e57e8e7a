"""BigGAN: residual class-conditional networks, as large as can be, whose latents may be cut off when images are drawn.

A. Brock, J. Donahue, K. Simonyan (2018): Large Scale GAN Training for High Fidelity Natural Image Synthesis,
arXiv:1809.11096. The critic is a projection discriminator (Miyato and Koyama 2018, arXiv:1802.05637), attention is that
of SAGAN (Zhang et al. 2018, arXiv:1805.08318), and the objective is the hinge loss.

Departures: sizes other than those of the paper; a generated image has the class of the real one beside it in the batch,
so that both have the data's frequencies of classes; batch statistics belong to a micro-batch and not to all devices;
images without labels are possible, where z alone conditions.

| symbol | paper | here |
|---|---|---|
| z | latent, N(0, I) | the first `latent_dim` entries of a latent |
| ch | width multiplier | `generator_channels`, `critic_channels` |
| skip-z | chunks of z enter every block | `hierarchical` |
| Shared | one class embedding for all layers | always; its length is `embedding_dim` |
| beta | weight of the orthogonal regularisation | `orthogonal_weight` |
| sigma_0, sigma_1, ... | largest singular values of a layer | metrics `singular_value_1`, `singular_value_2`, ... |
| threshold | of the truncation trick | `BigGAN.truncated` |
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from gen_dist.capabilities import ConditionKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player
from gen_dist.losses.orthogonality import filter_overlap
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.biggan_networks import Critic, Generator, check_halvings
from gen_dist.models.gan.game import Game, GameConfig, OfImages
from gen_dist.models.gan.generating import dtype_of, normal_latents, render, standing_statistics
from gen_dist.models.gan.truncated_normal import truncated_normal
from gen_dist.models.gan.unconditional import adversarial_players, check_ema_decay
from gen_dist.models.labels import labels_of, labels_to_draw
from gen_dist.models.paper import Paper
from gen_dist.nn.conditional_normalization import BareNormalization
from gen_dist.nn.spectral import largest_singular_values
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, to_signed

PAPER = Paper(
    title="Large Scale GAN Training for High Fidelity Natural Image Synthesis",
    authors="Andrew Brock, Jeff Donahue, Karen Simonyan",
    year=2018,
    arxiv="1809.11096",
)

_GAME = GameConfig(objective="hinge", critic_updates=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class BigGANConfig:
    """Settings of a BigGAN; by default those of the paper for ImageNet at 128 x 128.

    Attributes:
        game: what the two networks play; see `gen_dist/models/gan/game.py`.
        class_conditional: whether both networks are told each image's class.
        latent_dim: length of z; if it is hierarchical, a multiple of the number of entries of `generator_multipliers`.
        hierarchical: whether each block of the generator gets a chunk of z of its own.
        embedding_dim: length of the class embedding that all blocks of the generator share.
        generator_channels: what `generator_multipliers` multiply.
        generator_multipliers: channels of the smallest image, then of each block, which doubles it.
        generator_normalization: of the generator; conditional in all blocks.
        critic_channels: what `critic_multipliers` multiply.
        critic_multipliers: channels of each block of the critic.
        critic_halvings: so many of these blocks, from the first, halve the image; the others keep its size.
        attention_size: height of the feature maps that self-attention follows in both networks, or None for none.
        orthogonal_weight: of the generator's filter overlap (`gen_dist/losses/orthogonality.py`), 0 for none.
        num_singular_values: that are followed in each layer, and reported.
        generator_optimizer: of the generator.
        critic_optimizer: of the critic.
        schedule: of both learning rates.
        ema_decay: of the generator's average that is evaluated instead of its weights, or None.
    """

    game: GameConfig = _GAME
    class_conditional: bool = True
    latent_dim: int = 120
    hierarchical: bool = True
    embedding_dim: int = 128
    generator_channels: int = 96
    generator_multipliers: tuple[int, ...] = (16, 16, 8, 4, 2, 1)
    generator_normalization: BareNormalization = "batch"
    critic_channels: int = 96
    critic_multipliers: tuple[int, ...] = (1, 2, 4, 8, 16, 16)
    critic_halvings: int = 5
    attention_size: int | None = 64
    orthogonal_weight: float = 1e-4
    num_singular_values: int = 1
    generator_optimizer: OptimizerConfig = Adam(learning_rate=5e-5, betas=(0.0, 0.999))
    critic_optimizer: OptimizerConfig = Adam(learning_rate=2e-4, betas=(0.0, 0.999))
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = 0.9999

    def __post_init__(self) -> None:
        check_at_least_one(self, "latent_dim", "embedding_dim", "generator_channels", "critic_channels")
        check_at_least_one(self, "critic_halvings", "num_singular_values")
        for name, least in (("generator_multipliers", 2), ("critic_multipliers", self.critic_halvings)):
            multipliers = getattr(self, name)
            if len(multipliers) < least or min(multipliers) < 1:
                raise ValueError(f"model.{name} is {multipliers}: give at least {least} numbers, each 1 or more")
        if self.hierarchical and self.latent_dim % len(self.generator_multipliers):
            raise ValueError(
                f"model.latent_dim is {self.latent_dim}: a hierarchical latent is cut into "
                f"{len(self.generator_multipliers)} equal chunks, one for each of model.generator_multipliers; choose "
                "a multiple of that number, or set model.hierarchical to False"
            )
        if not (self.hierarchical or self.class_conditional):
            raise ValueError(
                "model.hierarchical and model.class_conditional are both False: the generator's normalisations would "
                "have nothing to be conditioned on; set one of them to True"
            )
        if not 0.0 <= self.orthogonal_weight < float("inf"):
            raise ValueError(f"model.orthogonal_weight is {self.orthogonal_weight}: it must be 0 or more, and finite")
        check_ema_decay(self.ema_decay)

    def build(self, data: DataSpec) -> "BigGAN":
        """Both networks for such images, with fresh weights from torch's global generator.

        Raises:
            ValueError: the images have no labels, can't be halved so often, or have no features of `attention_size`.
        """
        if self.class_conditional and not data.num_classes:
            raise ValueError("model.class_conditional is True: it must be False for images without labels")
        doublings = len(self.generator_multipliers) - 1
        check_halvings(data, generator_multipliers=doublings, critic_halvings=self.critic_halvings)
        sizes = [data.height >> halvings for halvings in range(1, min(doublings - 1, self.critic_halvings) + 1)]
        if self.attention_size is not None and self.attention_size not in sizes:
            raise ValueError(
                f"model.attention_size is {self.attention_size}: for images of {data.height} pixels in height and "
                f"these depths, choose from {sizes}, or None for no attention"
            )
        return BigGAN(self, data)


@final
class BigGAN(Learner):
    """Two players. The critic sees real and generated images in separate batches."""

    def __init__(self, config: BigGANConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.num_classes = data.num_classes if config.class_conditional else 0
        self.threshold = math.inf
        self.game = Game(config.game)
        self.generator = Generator(
            data,
            [config.generator_channels * multiplier for multiplier in config.generator_multipliers],
            latent_dim=config.latent_dim,
            hierarchical=config.hierarchical,
            num_classes=self.num_classes,
            embedding_dim=config.embedding_dim,
            attention_size=config.attention_size,
            normalization=config.generator_normalization,
            num_singular_values=config.num_singular_values,
        )
        self.critic = Critic(
            data,
            [config.critic_channels * multiplier for multiplier in config.critic_multipliers],
            num_halvings=config.critic_halvings,
            num_classes=self.num_classes,
            attention_size=config.attention_size,
            has_bias=config.game.has_zero,
            num_singular_values=config.num_singular_values,
        )

    @property
    def players(self) -> Mapping[str, Player]:
        """The critic, and the generator with its moving average."""
        return adversarial_players(self.config, self.critic, self.generator)

    @property
    def phases(self) -> Sequence[Phase]:
        """Critic steps, each on a fresh batch, then one generator step."""
        return self.game.phases(self.critic_signal, self.penalty_signal, self.generator_signal)

    @property
    def condition_kind(self) -> ConditionKind:
        """Classes, if it is told them."""
        return "label" if self.num_classes else "none"

    def critic_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to tell these images from as many generated ones of the same classes."""
        loss = self.game.critic_loss(*self._trio(batch), context)
        return Loss(loss.value, {**loss.metrics, **self._singular_values(self.critic)}, loss.statistics)

    def penalty_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to flatten its slopes, where that has steps of its own."""
        return self.game.penalty_loss(*self._trio(batch), context)

    def generator_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the generator should move to raise the critic's score of its images, and to keep its filters apart."""
        labels = labels_of(batch, self.num_classes)
        real, fake = to_signed(batch.images, self._dtype), self._fake(labels, len(batch))
        loss = self.game.generator_loss(self._score(labels), real, fake, context, self._features)
        overlap = filter_overlap(self.generator.filters)
        metrics = {name: value for name, value in loss.metrics.items() if name != "loss"}
        metrics |= {"filter_overlap": overlap.detach(), **self._singular_values(self.generator)}
        return Loss(loss.value + self.config.orthogonal_weight * overlap, metrics, loss.statistics)

    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """What the game does after a step."""
        self.game.settle(player, self.critic, statistics)

    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Standing statistics for the averaged weights, from noise and the classes of `batches`."""
        if batches:
            with standing_statistics(self.generator):
                for batch in batches:
                    self._fake(labels_of(batch, self.num_classes), len(batch))

    def truncated(self, threshold: float) -> "BigGAN":
        """The same networks (not a copy of them), drawing each entry of z again until it is within a threshold.

        The truncation trick: small thresholds give better images that are more alike. Infinity changes nothing.

        Raises:
            ValueError: the threshold is not positive.
        """
        if not threshold > 0.0:
            raise ValueError(f"the threshold is {threshold}: it must be positive; infinity is no truncation")
        view = copy.copy(self)
        view.threshold = threshold
        return view

    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Images of these classes, or of classes drawn in equal shares.

        The temperature multiplies z after it was truncated, so its entries then lie within temperature times threshold;
        the classes' embeddings it leaves alone.
        """
        latents = self._draw(num, condition)
        latents[:, : self.config.latent_dim] *= temperature
        return self.decode(latents)

    def draw_latents(self, num: int) -> Float[Tensor, "n l"]:
        """z, truncated if the model is, and after it the embeddings of classes drawn in equal shares."""
        return self._draw(num, None)

    def decode(self, latents: Float[Tensor, "n l"]) -> UInt8[Tensor, "n c h w"]:
        """The generator's images, in evaluation mode. A class is a point like any other: between two lie mixtures."""
        return render(self.generator, latents.to(self._dtype))

    @torch.no_grad()
    def _draw(self, num: int, condition: Tensor | None) -> Float[Tensor, "n l"]:
        weight = self.generator.projection.bias
        labels = labels_to_draw(num, condition, self.num_classes, weight.device)
        shape = (num, self.config.latent_dim)
        noise = truncated_normal(shape, self.threshold, dtype=weight.dtype, device=weight.device)
        return self.generator.with_classes(noise, labels)

    def _trio(self, batch: ImageBatch) -> tuple[OfImages, Tensor, Tensor]:
        """The critic for the batch's classes, its images, and generated ones of the same classes without a graph."""
        labels = labels_of(batch, self.num_classes)
        with torch.no_grad():
            fake = self._fake(labels, len(batch))
        return self._score(labels), to_signed(batch.images, self._dtype), fake

    def _fake(self, labels: Int64[Tensor, " b"] | None, num: int) -> Float[Tensor, "b c h w"]:
        """Generated images of these classes, for training: z is never truncated there."""
        noise = normal_latents(self.generator, num, self.config.latent_dim)
        images: Tensor = self.generator(self.generator.with_classes(noise, labels)).to(self._dtype)
        return images

    def _score(self, labels: Int64[Tensor, " b"] | None) -> OfImages:
        """The critic's raw output for images of these classes, in the parameters' precision under autocast too."""
        return lambda images: self.critic(images, labels).to(self._dtype)

    def _features(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        features: Tensor = self.critic.features(images).to(self._dtype)
        return features

    def _singular_values(self, network: Generator | Critic) -> dict[str, Tensor]:
        values = largest_singular_values(network, self.config.num_singular_values)
        return {f"singular_value_{rank}": value for rank, value in enumerate(values, start=1)}

    @property
    def _dtype(self) -> torch.dtype:
        return dtype_of(self.generator)
