"""Text to image: a GAN whose generator draws what a caption says, and whose critic also asks whether the two fit.

S. Reed, Z. Akata, X. Yan, L. Logeswaran, B. Schiele, H. Lee (2016): Generative Adversarial Text to Image Synthesis,
arXiv:1605.05396. This is GAN-INT-CLS; `interpolation` 0 makes it GAN-CLS.

Departures: the text encoder comes from a matcher that was a run of its own; a wrong pair is an image with another one's
caption, not a caption with another class's image; an image whose neighbour has the same caption makes no wrong pair;
kernels as in `gen_dist/models/gan/dcgan.py`, no residual blocks; normalisation is a choice; sizes other than 64 x 64.

| symbol | paper | here |
|---|---|---|
| phi(t) | embedding of a caption | `embed` |
| z | 100 normal numbers | `draw_latents` |
| G(z, phi(t)) | image in [-1, 1] | `generator(latents, text)` |
| s_r, s_w, s_f | D of {real image, right text}, {real, wrong}, {fake, right} | sigmoid of `critic(images, text)` |
| beta | place between two captions | `interpolation` |
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.capabilities import ConditionKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player
from gen_dist.losses.adversarial import diversity, generator_loss
from gen_dist.losses.matching import matching_aware_loss
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.classifier.matcher import Matcher, MatcherConfig, captions_of
from gen_dist.models.gan.text_conditioned import (
    TextConditionedCritic,
    TextConditionedGenerator,
    TextConditionedShape,
)
from gen_dist.models.paper import Paper
from gen_dist.nn.normalization import Normalization
from gen_dist.optimization import Adam, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_signed, to_signed

PAPER = Paper(
    title="Generative Adversarial Text to Image Synthesis",
    authors="Scott Reed, Zeynep Akata, Xinchen Yan, Lajanugen Logeswaran, Bernt Schiele, Honglak Lee",
    year=2016,
    arxiv="1605.05396",
)

_PAPER_OPTIMIZER = Adam(learning_rate=2e-4, betas=(0.5, 0.999))
_FOUNDATION = MatcherConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class TextToImageConfig:
    """Settings of the GAN.

    Attributes:
        foundation: the matcher; a new run takes all of it from the bundle that it builds on.
        critic_updates: critic steps for each generator step.
        latent_dim: length of z.
        text_dim: length to which both networks shorten a caption's embedding, each by its own layer.
        generator_channels: channels at half the image's size; they double with every halving below that.
        critic_channels: the same for the critic.
        base_size: both networks halve the image for as long as no side gets shorter than this; there the critic reads
            the caption.
        interpolation: beta: where between its own caption and another the generator's additional images stand; 0 for no
            such images.
        num_kept_captions: training captions that the model remembers, to draw for when it is given none.
        generator_normalization: of all layers but the last.
        critic_normalization: of all layers but the first and the last ("spectral": of all layers).
        initial_std: standard deviation of the first weights, or None for He initialisation.
        generator_optimizer: of the generator.
        critic_optimizer: of the critic.
        ema_decay: of the generator's average that is evaluated instead of its weights, or None.
    """

    foundation: MatcherConfig = _FOUNDATION
    critic_updates: int = 1
    latent_dim: int = 100
    text_dim: int = 128
    generator_channels: int = 128
    critic_channels: int = 64
    base_size: int = 4
    interpolation: float = 0.5
    num_kept_captions: int = 256
    generator_normalization: Normalization = "batch"
    critic_normalization: Normalization = "batch"
    initial_std: float | None = 0.02
    generator_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    critic_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    ema_decay: float | None = 0.999

    def __post_init__(self) -> None:
        check_at_least_one(self, "critic_updates", "latent_dim", "text_dim", "generator_channels", "critic_channels")
        check_at_least_one(self, "base_size", "num_kept_captions")
        if not 0.0 <= self.interpolation <= 1.0:
            raise ValueError(f"model.interpolation is {self.interpolation}: it must lie in [0, 1]")
        if self.initial_std is not None and not 0.0 < self.initial_std < float("inf"):
            raise ValueError(f"model.initial_std is {self.initial_std}: it must be a positive, finite number")
        if self.ema_decay is not None and not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"model.ema_decay is {self.ema_decay}: it must lie in [0, 1), or be None for no average")

    def build(self, data: DataSpec) -> "TextToImage":
        """Both networks with fresh weights around a matcher that is still to be filled.

        Raises:
            ValueError: the images have no captions, or can't be halved evenly down to about `base_size`.
        """
        return TextToImage(self, data)


@final
class TextToImage(Learner):
    """Two players; the matcher belongs to neither, so nothing moves it."""

    def __init__(self, config: TextToImageConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.foundation = config.foundation.build(data).requires_grad_(False)
        of_generator, of_critic = _shapes(config)
        self.generator = TextConditionedGenerator(of_generator, config.latent_dim, data)
        self.critic = TextConditionedCritic(of_critic, data)
        kept = torch.zeros(config.num_kept_captions, data.caption_bytes, dtype=torch.uint8)
        self.register_buffer("kept_captions", kept)
        self.kept_captions: Tensor

    @property
    def first_stage(self) -> Matcher:
        """The matcher whose text encoder is used."""
        return self.foundation

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
        return (
            Phase(name="critic", player="critic", signal=self.critic_signal, repeats=self.config.critic_updates),
            Phase(name="generator", player="generator", signal=self.generator_signal),
        )

    @property
    def preparation_images(self) -> int:
        """As many as captions are kept."""
        return self.config.num_kept_captions

    def prepare(self, batch: ImageBatch) -> None:
        """Remember training captions; fewer than there is room for are repeated."""
        captions = captions_of(batch)
        self.kept_captions.copy_(captions[torch.arange(len(self.kept_captions)) % len(captions)])

    def critic_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to tell real images with their captions from both kinds of wrong pairs."""
        captions = captions_of(batch)
        text, others = self.embed(captions), captions.roll(1, 0)
        real = to_signed(batch.images, self._dtype)
        with torch.no_grad():
            fake = self.generator(self.draw_latents(len(batch)), text).to(self._dtype)
        features = self.critic.features(real)
        right, wrong = (self._fit(features, about) for about in (text, text.roll(1, 0)))
        generated = self._fit(self.critic.features(fake), text)
        mismatched = (captions != others).any(1)
        with torch.no_grad():
            metrics = {
                "real_score": right.mean(),
                "wrong_score": wrong.mean(),
                "fake_score": generated.mean(),
                "real_accuracy": (right > 0).to(right.dtype).mean(),
                "wrong_accuracy": (wrong < 0).to(right.dtype).mean(),
                "fake_accuracy": (generated < 0).to(right.dtype).mean(),
                "real_diversity": diversity(real),
                "fake_diversity": diversity(fake),
            }
        return Loss(matching_aware_loss(right, wrong, generated, mismatched), metrics)

    def generator_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the generator should move to raise the critic's score of images for captions, and for points between."""
        text = self.embed(captions_of(batch))
        loss = self._generator_loss(text)
        if self.config.interpolation:
            loss = loss + self._generator_loss(interpolated(text, self.config.interpolation))
        return Loss(loss)

    @torch.no_grad()
    def embed(self, captions: UInt8[Tensor, "b l"]) -> Float[Tensor, "b e"]:
        """The matcher's vectors, scaled to entries of size 1, like those of z."""
        with torch.autocast(captions.device.type, enabled=False):  # the same vector whatever the networks' precision
            return self.foundation.encode_captions(captions) * math.sqrt(self.config.foundation.embedding_dim)

    @torch.no_grad()
    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Re-estimate the generator's batch statistics for its averaged weights, on the captions of `batches`.

        These are standing statistics (Brock et al. 2018, arXiv:1809.11096), the plain mean over fresh batches.
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
            self.generator(self.draw_latents(len(batch)), self.embed(captions_of(batch)))
        self.generator.train(was_training)
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum

    @property
    def condition_kind(self) -> ConditionKind:
        """Captions."""
        return "caption"

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Images for captions, UTF-8 bytes filled up with zeros; kept training captions are drawn when left out.

        The temperature is the standard deviation of z.

        Raises:
            ValueError: what is given are no captions.
        """
        if condition is None:
            chosen = torch.randint(len(self.kept_captions), (num,), device=self.kept_captions.device)
            condition = self.kept_captions[chosen]
        if condition.ndim != 2 or condition.dtype != torch.uint8:
            raise ValueError(
                f"condition is {condition.dtype} {tuple(condition.shape)}: give captions, one row of UTF-8 bytes "
                "(torch.uint8) for each image, filled up with zeros"
            )
        return from_signed(self.generator(self.draw_latents(num) * temperature, self.embed(condition)))

    def draw_latents(self, num: int) -> Float[Tensor, "n z"]:
        """Standard normal latents from torch's global generator."""
        return torch.randn(num, self.config.latent_dim, dtype=self._dtype, device=self.kept_captions.device)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.generator.parameters()).dtype

    def _fit(self, features: Tensor, text: Tensor) -> Tensor:
        """One score per image, in the parameters' precision whatever autocast made of it."""
        return self.critic.score(features, text).to(self._dtype)

    def _generator_loss(self, text: Tensor) -> Tensor:
        images = self.generator(self.draw_latents(len(text)), text)
        return generator_loss("non-saturating", self._fit(self.critic.features(images), text))


def interpolated(text: Float[Tensor, "b e"], beta: float) -> Float[Tensor, "b e"]:
    """Points between each embedding (at beta 0) and the one before it (at 1)."""
    return torch.lerp(text, text.roll(1, 0), beta)


def _shapes(config: TextToImageConfig) -> tuple[TextConditionedShape, TextConditionedShape]:
    """Of the generator and of the critic."""
    generator = TextConditionedShape(
        embedding_dim=config.foundation.embedding_dim,
        text_dim=config.text_dim,
        channels=config.generator_channels,
        base_size=config.base_size,
        normalization=config.generator_normalization,
        initial_std=config.initial_std,
    )
    critic = dataclasses.replace(generator, channels=config.critic_channels, normalization=config.critic_normalization)
    return generator, critic
