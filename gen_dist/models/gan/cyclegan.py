"""CycleGAN: two translators learn from unpaired images, since going there and back again must change nothing.

J.-Y. Zhu, T. Park, P. Isola, A. A. Efros (2017): Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks, arXiv:1703.10593.

Departures: instance normalisation has a learned scale and shift, and convolutions before it no bias; the critics see
what the generators make after their step, not before it (two forward passes more, and phases need not share images);
a batch that meets a full pool takes places that differ from each other (at the paper's batch size of 1 the same).

| symbol | paper | here |
|---|---|---|
| x, y | images of the two domains | `batch.sources`, `batch.images`; which stand side by side means nothing |
| G: X → Y | | `generators["images"]` |
| F: Y → X | | `generators["sources"]` |
| D_Y, D_X | scores per patch | `critics["images"]`, `critics["sources"]` |
| λ | 10 | `cycle_weight` |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.learner import Context, Learner, Loss, Phase, Player
from gen_dist.losses.adversarial import critic_loss, critic_metrics, generator_loss
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.image_pool import exchange
from gen_dist.models.gan.sources import check_sources, source_of, sources_of
from gen_dist.models.paper import Paper
from gen_dist.nn.initialization import draw_weights
from gen_dist.nn.patch import check_patch_size, patch_critic
from gen_dist.nn.residual_generator import residual_generator
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_signed, to_signed

PAPER = Paper(
    title="Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
    authors="Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros",
    year=2017,
    arxiv="1703.10593",
)

Domain = Literal["images", "sources"]
DOMAINS: tuple[Domain, Domain] = ("images", "sources")

_PAPER_OPTIMIZER = Adam(learning_rate=2e-4, betas=(0.5, 0.999))


@dataclass(frozen=True, kw_only=True, slots=True)
class CycleGANConfig:
    """Settings of a CycleGAN.

    Attributes:
        cycle_weight: of the mean absolute difference that going there and back makes, in [-1, 1] scale.
        identity_weight: of the mean absolute difference that a translator makes to an image that is in its target
            domain already; 0 leaves it out. The paper uses half the cycle weight to keep the colours of paintings.
        patch_size: side of the patches that the critics judge: 1, 16, 34, 70, 142 or 286.
        generator_channels: of the generators' first layer.
        critic_channels: of the critics' first layer.
        num_halvings: how often a generator halves its image before the residual blocks.
        num_blocks: residual blocks: 6 for images of 128 x 128 and 9 for 256 x 256 in the paper.
        pool_size: generated images that each critic's pool holds, per micro-batch; 0 for no pool.
        initial_std: standard deviation of the first weights.
        generator_optimizer: of both generators.
        critic_optimizer: of both critics.
        schedule: of all learning rates.
        ema_decay: of the generators' averages that are evaluated instead of their weights, or None.
    """

    cycle_weight: float = 10.0
    identity_weight: float = 0.0
    patch_size: int = 70
    generator_channels: int = 64
    critic_channels: int = 64
    num_halvings: int = 2
    num_blocks: int = 9
    pool_size: int = 50
    initial_std: float = 0.02
    generator_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    critic_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "generator_channels", "critic_channels", "num_blocks")
        check_patch_size(self.patch_size)
        for name in ("num_halvings", "pool_size", "identity_weight", "cycle_weight"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"model.{name} is {value}: it must be finite and at least 0")
        if not 0.0 < self.initial_std < float("inf"):
            raise ValueError(f"model.initial_std is {self.initial_std}: it must be a positive, finite number")
        if self.ema_decay is not None and not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"model.ema_decay is {self.ema_decay}: it must lie in [0, 1), or be None for no average")

    def build(self, data: DataSpec) -> "CycleGAN":
        """All four networks for such images and sources, with fresh weights from torch's global generator.

        Raises:
            ValueError: the data has no sources, or they don't fit the images; the message says what to do.
        """
        return CycleGAN(self, data)


@final
class CycleGAN(Learner):
    """Two players of two networks each, named after the domain whose images they make or judge."""

    def __init__(self, config: CycleGANConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        source = source_of(data, "cyclegan")
        if source.shape[1:] != data.shape[1:]:
            raise ValueError(
                f"sources are {source.height} x {source.width} and images {data.height} x {data.width} pixels: a "
                "cyclegan translates both ways, so they must have the same size; resize one of them"
            )
        if config.identity_weight and source.channels != data.channels:
            raise ValueError(
                f"model.identity_weight is {config.identity_weight}: sources of {source.channels} and images of "
                f"{data.channels} channels can't be the same; set it to 0"
            )
        self.shapes = {"images": data.shape, "sources": source.shape}
        self.generators, self.critics = nn.ModuleDict(), nn.ModuleDict()
        for domain, other in zip(DOMAINS, reversed(DOMAINS), strict=True):
            channels, height, width = self.shapes[domain]
            self.generators[domain] = residual_generator(
                self.shapes[other][0],
                channels,
                features=config.generator_channels,
                num_halvings=config.num_halvings,
                num_blocks=config.num_blocks,
                height=height,
                width=width,
            )
            self.critics[domain] = patch_critic(
                channels, config.critic_channels, config.patch_size, height=height, width=width
            )
        draw_weights(self, config.initial_std)

    @property
    def players(self) -> Mapping[str, Player]:
        """Both generators together, and both critics together."""
        config = self.config
        return {
            "generators": Player(
                module=self.generators,
                optimizer=config.generator_optimizer,
                schedule=config.schedule,
                ema_decay=config.ema_decay,
            ),
            "critics": Player(module=self.critics, optimizer=config.critic_optimizer, schedule=config.schedule),
        }

    @property
    def phases(self) -> Sequence[Phase]:
        """One step of the generators, then one of the critics."""
        return (
            Phase(name="generators", player="generators", signal=self.generators_signal),
            Phase(name="critics", player="critics", signal=self.critics_signal),
        )

    def generators_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the generators should move: adversarial losses, cycle consistency, and identity if it has a weight.

        The paper minimises the mean of (score - 1)^2, which is twice the loss of Mao et al. (with its factor 1/2).
        """
        images, sources = self._signed(batch)
        made_images, made_sources = self._make("images", sources), self._make("sources", images)
        adversarial = 2.0 * (
            generator_loss("least-squares", self._scores("images", made_images))
            + generator_loss("least-squares", self._scores("sources", made_sources))
        )
        cycle = _difference(self._make("sources", made_images), sources) + _difference(
            self._make("images", made_sources), images
        )
        loss = adversarial + self.config.cycle_weight * cycle
        metrics = {"adversarial": adversarial.detach(), "cycle": cycle.detach()}
        if self.config.identity_weight:
            identity = _difference(self._make("images", images), images) + _difference(
                self._make("sources", sources), sources
            )
            loss = loss + self.config.identity_weight * identity
            metrics["identity"] = identity.detach()
        return Loss(loss, metrics)

    def critics_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critics should move to tell real images from those of the past and the present.

        The paper halves this objective; the losses of Mao et al. have that factor already.
        """
        images, sources = self._signed(batch)
        with torch.no_grad():
            made = {"images": self._make("images", sources), "sources": self._make("sources", images)}
        real_scores: list[Tensor] = []
        fake_scores: list[Tensor] = []
        losses: list[Tensor] = []
        for domain, real in zip(DOMAINS, (images, sources), strict=True):
            shown = exchange(context.memory, f"pool_of_{domain}", made[domain], self.config.pool_size)
            real_scores.append(self._scores(domain, real))
            fake_scores.append(self._scores(domain, shown))
            losses.append(critic_loss("least-squares", real_scores[-1], fake_scores[-1]))
        metrics = critic_metrics("least-squares", torch.cat(real_scores), torch.cat(fake_scores))
        return Loss(losses[0] + losses[1], metrics)

    def translate(self, sources: UInt8[Tensor, "b s i j"]) -> UInt8[Tensor, "b c h w"]:
        """One image for each source; there is no noise.

        Raises:
            ValueError: the sources have another shape than those that the model was built for.
        """
        return self._translated("images", sources, self.shapes["sources"])

    def translate_back(self, images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b s i j"]:
        """One source for each image.

        Raises:
            ValueError: the images have another shape than those that the model was built for.
        """
        return self._translated("sources", images, self.shapes["images"])

    @torch.no_grad()
    def _translated(self, domain: Domain, given: Tensor, shape: tuple[int, int, int]) -> Tensor:
        check_sources(given, shape)
        return from_signed(self._make(domain, to_signed(given, self._dtype)))

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _make(self, domain: Domain, given: Tensor) -> Tensor:
        """Images of this domain from those of the other, in the parameters' precision whatever autocast made of it."""
        made: Tensor = self.generators[domain](given)
        return made.to(given.dtype)

    def _scores(self, domain: Domain, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " n"]:
        scores: Tensor = self.critics[domain](images)
        return scores.flatten().to(images.dtype)

    def _signed(self, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        return to_signed(batch.images, self._dtype), to_signed(sources_of(batch), self._dtype)


def _difference(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    return (first - second).abs().mean()
