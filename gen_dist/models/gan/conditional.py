"""Conditional GANs: the generator draws an image of a class, and the critic is told which class it should be.

M. Mirza, S. Osindero (2014): Conditional Generative Adversarial Nets, arXiv:1411.1784. A. Odena, C. Olah, J. Shlens
(2016): Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585. T. Miyato, M. Koyama (2018): cGANs
with Projection Discriminator, arXiv:1802.05637.

How the critic takes the label y is one setting, `conditioning`; f(x) are the features before its last layer:

| conditioning | score of image x with label y | source |
|---|---|---|
| concatenation | critic of x with one constant plane for each class beside its channels | Mirza |
| auxiliary | that of an unconditional critic, which also learns to name the class | Odena |
| projection | y^T V f(x) + psi(f(x)), psi linear | Miyato |

Departures: the networks are those of DCGAN, for all three, so that nothing else differs; f(x) is the flattened map,
where Miyato sums it over the image; the generator takes the label beside its noise, also for the projection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from gen_dist.capabilities import ConditionKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player
from gen_dist.models.gan.dcgan import ConvolutionalGANConfig, convolutional_critic, convolutional_generator
from gen_dist.models.gan.game import Game
from gen_dist.models.gan.generating import dtype_of, normal_latents, render, standing_statistics
from gen_dist.models.gan.unconditional import adversarial_players
from gen_dist.models.labels import labels_of, labels_to_draw
from gen_dist.models.paper import Paper
from gen_dist.nn.normalization import constrained
from gen_dist.types import DataSpec, ImageBatch, to_signed

PAPER = Paper(
    title="Conditional Generative Adversarial Nets",
    authors="Mehdi Mirza, Simon Osindero",
    year=2014,
    arxiv="1411.1784",
)

Conditioning = Literal["concatenation", "auxiliary", "projection"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ConditionalGANConfig(ConvolutionalGANConfig):
    """Settings of a conditional GAN, beside those of its networks.

    Attributes:
        conditioning: how the critic takes the label.
        class_weight: of the classification loss, for both players; only "auxiliary" uses it.
    """

    conditioning: Conditioning = "projection"
    class_weight: float = 1.0

    def __post_init__(self) -> None:
        ConvolutionalGANConfig.__post_init__(self)
        if not 0.0 < self.class_weight < float("inf"):
            raise ValueError(f"model.class_weight is {self.class_weight}: it must be a positive, finite number")
        if self.game.feature_matching and self.conditioning == "auxiliary":
            raise ValueError(
                'model.game.feature_matching is true with the conditioning "auxiliary": the generator would not learn '
                "its classes, since only scored images are classified; choose another conditioning"
            )

    def build(self, data: DataSpec) -> "ConditionalGAN":
        """Both networks for such images; see `ConvolutionalGANConfig.build`.

        Raises:
            ValueError: the images have no labels, or a size that the networks can't make.
        """
        if not data.num_classes:
            raise ValueError("a conditional GAN needs labels, and these images have none: train dcgan instead")
        return ConditionalGAN(self, data)


@final
class LabelledCritic(nn.Module):
    """Scores of images for labels, and with an auxiliary classifier logits of their classes."""

    def __init__(self, config: ConditionalGANConfig, data: DataSpec) -> None:
        super().__init__()
        self.kind, self.num_classes = config.conditioning, data.num_classes
        planes = data.num_classes if self.kind == "concatenation" else 0
        network = convolutional_critic(config, data, channels=data.channels + planes)
        self.features, self.score = network[:-1], network[-1]
        assert isinstance(self.score, nn.Linear)
        if self.kind != "concatenation":
            classes = nn.Linear(self.score.in_features, data.num_classes, bias=self.kind == "auxiliary")
            nn.init.normal_(classes.weight, std=config.initial_std or classes.in_features**-0.5)
            if classes.bias is not None:
                nn.init.zeros_(classes.bias)
            self.classes = constrained(config.critic_normalization, classes)

    def forward(
        self, images: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b k"] | None]:
        """(scores, logits of the classes or None)."""
        features = self.features_of(images, labels)
        scores = self.score(features).squeeze(1)
        match self.kind:
            case "concatenation":
                return scores, None
            case "auxiliary":
                return scores, self.classes(features)
            case "projection":  # y^T V f(x) picks the label's row of V f(x)
                return scores + self.classes(features).gather(1, labels[:, None]).squeeze(1), None

    def features_of(self, images: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"]) -> Float[Tensor, "b f"]:
        """What the last layers read."""
        if self.kind == "concatenation":
            planes = F.one_hot(labels, self.num_classes).to(images.dtype)[:, :, None, None]
            images = torch.cat([images, planes.expand(-1, -1, *images.shape[2:])], dim=1)
        features: Tensor = self.features(images)
        return features


@final
class ConditionalGAN(Learner):
    """Two players who both know the label. Generated images take the labels of the batch that they stand against."""

    def __init__(self, config: ConditionalGANConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.num_classes = data.num_classes
        self.game = Game(config.game)
        self.generator = convolutional_generator(config, data, inputs=config.latent_dim + data.num_classes)
        self.critic = LabelledCritic(config, data)

    @property
    def condition_kind(self) -> ConditionKind:
        """Images are drawn for labels."""
        return "label"

    @property
    def players(self) -> Mapping[str, Player]:
        """The critic with its classifier, and the generator with its moving average."""
        return adversarial_players(self.config, self.critic, self.generator)

    @property
    def phases(self) -> Sequence[Phase]:
        """Critic steps, each on a fresh batch, then one generator step."""
        return self.game.phases(self.critic_signal, self.penalty_signal, self.generator_signal)

    def critic_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to tell images from generated ones of the same classes, and to name these."""
        labels, real, fake = self._trio(batch)
        scoring = Scoring(self.critic, labels)
        loss = self.game.critic_loss(scoring, real, fake, context)
        return self._with_classes(loss, scoring, ("real", "fake"))

    def penalty_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the critic should move to be less steep, where that has steps of its own."""
        labels, real, fake = self._trio(batch)
        return self.game.penalty_loss(Scoring(self.critic, labels), real, fake, context)

    def generator_signal(self, batch: ImageBatch, context: Context) -> Loss:
        """How the generator should move to raise the score of its images, and to make their classes plain."""
        labels = self._labels(batch)
        scoring = Scoring(self.critic, labels)
        real = to_signed(batch.images, dtype_of(self.generator))
        fake = self.generator(self._inputs(self._latents(len(labels)), labels))
        loss = self.game.generator_loss(scoring, real, fake, context, scoring.features)
        return self._with_classes(loss, scoring, ("fake",))

    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """What the game asks for after a step."""
        self.game.settle(player, self.critic, statistics)

    def finalise(self, batches: Sequence[ImageBatch]) -> None:
        """Standing statistics of the averaged weights, for the labels of `batches`."""
        if batches:
            with standing_statistics(self.generator):
                for batch in batches:
                    labels = self._labels(batch)
                    self.generator(self._inputs(self._latents(len(labels)), labels))

    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Images of the given labels, or of classes in equal shares; latents deviate by the temperature.

        Raises:
            ValueError: what is given are no labels.
        """
        labels = labels_to_draw(num, condition, self.num_classes, next(self.generator.parameters()).device)
        assert labels is not None, "a conditional GAN has classes"
        return render(self.generator, self._inputs(self._latents(num) * temperature, labels))

    def _with_classes(self, loss: Loss, scoring: "Scoring", names: Sequence[str]) -> Loss:
        """The loss, with that of naming the classes of the images that were scored first (Odena et al. 2016, L_C)."""
        if self.config.conditioning != "auxiliary":
            return loss
        each = [F.cross_entropy(logits, scoring.labels) for _, logits in zip(names, scoring.logits, strict=False)]
        value = loss.value + self.config.class_weight * torch.stack(each).sum()
        named = {f"{name}_class_loss": part.detach() for name, part in zip(names, each, strict=True)}
        return Loss(value, {**loss.metrics, "loss": value.detach(), **named}, loss.statistics)

    def _labels(self, batch: ImageBatch) -> Int64[Tensor, " b"]:
        labels = labels_of(batch, self.num_classes)
        assert labels is not None, "a conditional GAN has classes"
        return labels

    def _trio(self, batch: ImageBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Labels, real images, and generated ones of the same labels without a graph."""
        labels, dtype = self._labels(batch), dtype_of(self.generator)
        with torch.no_grad():
            fake = self.generator(self._inputs(self._latents(len(labels)), labels)).to(dtype)
        return labels, to_signed(batch.images, dtype), fake

    def _latents(self, num: int) -> Float[Tensor, "n z"]:
        return normal_latents(self.generator, num, self.config.latent_dim)

    def _inputs(self, latents: Float[Tensor, "n z"], labels: Int64[Tensor, " n"]) -> Float[Tensor, "n i"]:
        """Noise and the label's indicator side by side."""
        return torch.cat([latents, F.one_hot(labels, self.num_classes).to(latents.dtype)], dim=1)


@final
class Scoring:
    """The critic for the labels of a batch, as the game asks for it; it keeps the class logits of what it scores."""

    def __init__(self, critic: LabelledCritic, labels: Int64[Tensor, " b"]) -> None:
        self.critic, self.labels = critic, labels
        self.dtype = dtype_of(critic)
        self.logits: list[Tensor] = []

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """One raw output per image, in the parameters' precision whatever autocast made of it."""
        scores, logits = self.critic(images, self.labels)
        if logits is not None:
            self.logits.append(logits.to(self.dtype))
        raw: Tensor = scores.to(self.dtype)
        return raw

    def features(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        """What the critic's last layers read."""
        return self.critic.features_of(images, self.labels).to(self.dtype)
