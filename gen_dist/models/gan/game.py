"""The game that a critic and a generator play, for every GAN: what each minimises, and what keeps the game stable.

A family of GANs holds one `Game` and gives it callables, so that the game knows nothing of networks, labels or text:

    score(images) -> (n,) raw outputs of the critic, already closed over labels or text
    features(images) -> (n, f) activations of one of the critic's layers, for feature matching only

| option | what it does | source |
|---|---|---|
| `objective`, `critic_updates` | who minimises what; critic steps per round | `gen_dist/losses/adversarial.py` |
| `penalty`, `penalty_weight` | punishes slopes of the critic | `gen_dist/losses/penalties.py` |
| `penalty_every` | only every so many rounds, so much stronger | Karras et al. 2020, arXiv:1912.04958 |
| `clip_value` | bounds every weight of the critic | Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1 |
| `label_smoothing` | real images are labelled a little below 1 | Salimans et al. 2016, arXiv:1606.03498, section 3.4 |
| `feature_matching` | the generator matches mean features of the critic | the same, section 3.1 |
| `instance_noise` | fading noise on what a critic sees | Sønderby 2017, arXiv:1610.04490; Arjovsky arXiv:1701.04862 |
| `augmentation` | the same random changes of real and generated images | Zhao et al. 2020, arXiv:2006.10738 |
| `drift_weight` | holds real scores near 0 | Karras et al. 2018, arXiv:1710.10196, appendix A.1 |
| `lecam_weight` | holds scores near the past mean of the other side | Tseng et al. 2021, arXiv:2104.03310 |

Two time scales (Heusel et al. 2017, arXiv:1706.08500) are the two optimizers' learning rates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.learner import Context, Loss, Phase, Signal
from gen_dist.losses.adversarial import Objective, critic_loss, critic_metrics, diversity, generator_loss
from gen_dist.losses.penalties import PenaltyKind, slope_penalty
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.augmentation import Augmentation, augment
from gen_dist.nn.normalization import Normalization
from gen_dist.types import ImageBatch

OfImages = Callable[[Tensor], Tensor]
SignalFunction = Callable[[ImageBatch, Context], Signal]

WASSERSTEIN: frozenset[Objective] = frozenset({"wasserstein", "wasserstein-clip", "wasserstein-gp"})
_LABELLED: frozenset[Objective] = frozenset({"minimax", "non-saturating"})


@dataclass(frozen=True, kw_only=True, slots=True)
class GameConfig:
    """Settings of the game; all but the objective are off by default.

    Attributes:
        objective: what critic and generator minimise; see `gen_dist/losses/adversarial.py`. "wasserstein-gp" implies
            the two-sided penalty and "wasserstein-clip" clipped weights; "wasserstein" leaves the constraint to
            `penalty` or to a spectrally normalised critic.
        critic_updates: critic steps for each generator step, k in Goodfellow et al. 2014, n_critic in the WGAN paper.
        penalty: on the critic's slope; see `gen_dist/losses/penalties.py`.
        penalty_weight: of the penalty, where there is one.
        penalty_every: rounds from one penalty to the next; above 1 it has its own steps and so many times its weight.
        clip_value: largest size of a critic's weight; only "wasserstein-clip" uses it.
        label_smoothing: by how much the label of a real image is below 1; only where the score is a logit.
        instance_noise: deviation, at the start, of Gaussian noise on all images (in [-1, 1]) that the critic sees.
        instance_noise_images: training images over which that noise falls to nothing, linearly.
        feature_matching: whether the generator matches the mean features of real images instead of raising its scores.
        augmentation: what is changed at random in all images that the critic sees; see
            `gen_dist/models/gan/augmentation.py`.
        drift_weight: of the mean square of real scores, which gives a Wasserstein critic's zero a meaning.
        lecam_weight: of the squared distance of scores to the past mean score of the other kind of images.
        lecam_decay: of those means, per critic step.
    """

    objective: Objective = "non-saturating"
    critic_updates: int = 1
    penalty: PenaltyKind = "none"
    penalty_weight: float = 10.0
    penalty_every: int = 1
    clip_value: float = 0.01
    label_smoothing: float = 0.0
    instance_noise: float = 0.0
    instance_noise_images: int = 0
    feature_matching: bool = False
    augmentation: tuple[Augmentation, ...] = ()
    drift_weight: float = 0.0
    lecam_weight: float = 0.0
    lecam_decay: float = 0.99

    def __post_init__(self) -> None:
        check_at_least_one(self, "critic_updates", "penalty_every", path="model.game")
        for name in ("penalty_weight", "clip_value"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"model.game.{name} is {getattr(self, name)}: it must be a positive, finite number")
        for name in ("instance_noise", "instance_noise_images", "drift_weight", "lecam_weight"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"model.game.{name} is {getattr(self, name)}: it must be 0 (off) or more, and finite")
        if not 0.0 <= self.label_smoothing < 0.5:
            raise ValueError(f"model.game.label_smoothing is {self.label_smoothing}: it must lie in [0, 0.5)")
        if not 0.0 <= self.lecam_decay < 1.0:
            raise ValueError(f"model.game.lecam_decay is {self.lecam_decay}: it must lie in [0, 1)")
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        if self.penalty != "none" and self.objective in ("wasserstein-gp", "wasserstein-clip"):
            raise ValueError(
                f'model.game.penalty is "{self.penalty}" with the objective "{self.objective}", which has a constraint '
                'of its own: choose the objective "wasserstein" for another penalty, or the penalty "none"'
            )
        if self.penalty == "two-sided" and self.objective == "wasserstein":
            raise ValueError(
                'model.game.penalty is "two-sided" with the objective "wasserstein": that is the objective '
                '"wasserstein-gp" with the penalty "none"; say it so'
            )
        if self.penalty_every > 1 and self.penalty_kind == "none":
            raise ValueError(f"model.game.penalty_every is {self.penalty_every}, and there is no penalty: choose one")
        if self.label_smoothing and self.objective not in _LABELLED:
            raise ValueError(
                f'model.game.label_smoothing is {self.label_smoothing} with the objective "{self.objective}", which '
                'has no labels: set it to 0, or choose "minimax" or "non-saturating"'
            )
        if self.instance_noise and not self.instance_noise_images:
            raise ValueError(
                f"model.game.instance_noise is {self.instance_noise}: say with instance_noise_images over how many "
                "training images it fades out"
            )
        if len(set(self.augmentation)) < len(self.augmentation):
            raise ValueError(f"model.game.augmentation is {self.augmentation}: name each kind once")

    @property
    def penalty_kind(self) -> PenaltyKind:
        """The penalty, that of the objective included."""
        return "two-sided" if self.objective == "wasserstein-gp" else self.penalty

    @property
    def has_zero(self) -> bool:
        """Whether the zero of the critic's score means anything: else its last bias has a gradient of exactly zero."""
        return self.objective not in WASSERSTEIN or self.drift_weight > 0.0

    def check_critic_normalization(self, kind: Normalization) -> None:
        """Raise ValueError if batch normalisation in the critic would leave the penalty without a meaning."""
        if self.penalty_kind != "none" and kind == "batch":
            raise ValueError(
                f'model.critic_normalization is "batch" with the penalty "{self.penalty_kind}": the penalty is on the '
                "slope of one image's score, and batch normalisation makes that score depend on the other images; "
                'choose "group", "spectral" or "none"'
            )


def objective_of(model: object) -> Objective | None:
    """The objective of any GAN's configuration, by its field `game`; None for a family that plays no game."""
    game = getattr(model, "game", None)
    return game.objective if isinstance(game, GameConfig) else None


@final
class Game(nn.Module):
    """Computes losses from scores: a part of a learner, without parameters; with LeCam it remembers two mean scores.

    A learner builds its phases with `phases`, and calls `settle` from its own `settle`.
    """

    real_anchor: Tensor
    fake_anchor: Tensor

    def __init__(self, config: GameConfig) -> None:
        super().__init__()
        self.config = config
        if config.lecam_weight:
            self.register_buffer("real_anchor", torch.zeros(()))
            self.register_buffer("fake_anchor", torch.zeros(()))

    def phases(self, critic: SignalFunction, penalty: SignalFunction, generator: SignalFunction) -> tuple[Phase, ...]:
        """Critic steps, each on a fresh batch; where `penalty_every` is above 1, steps of the penalty; the generator's.

        Args:
            critic: signal of the player "critic", from `critic_loss`.
            penalty: another one of the player "critic", from `penalty_loss`; due as often as the critic moves, but only
                every `penalty_every` rounds.
            generator: signal of the player "generator", from `generator_loss`.
        """
        k, every = self.config.critic_updates, self.config.penalty_every
        lazy = Phase(name="penalty", player="critic", signal=penalty, repeats=k, every=every)
        return (
            Phase(name="critic", player="critic", signal=critic, repeats=k),
            *((lazy,) if every > 1 else ()),
            Phase(name="generator", player="generator", signal=generator),
        )

    def critic_loss(
        self, score: OfImages, real: Float[Tensor, "b c h w"], fake: Float[Tensor, "b c h w"], context: Context
    ) -> Loss:
        """What the critic minimises to tell real images from generated ones.

        Args:
            score: images to (n,) raw outputs of the critic, in the parameters' precision.
            real: images of the data in [-1, 1].
            fake: generated images, made without a graph, in the parameters' precision.
            context: where the signal is computed; instance noise follows its moment.

        Returns:
            Its metrics: loss, real_score, fake_score, real_accuracy, fake_accuracy (`critic_metrics`), real_diversity,
            fake_diversity; those of these that are on, before their weights: penalty or r1_penalty, drift, lecam.
        """
        config = self.config
        real_seen, fake_seen = self.seen(real, context), self.seen(fake, context)
        real_scores, fake_scores = score(real_seen), score(fake_seen)
        loss = critic_loss(config.objective, real_scores, fake_scores, label_smoothing=config.label_smoothing)
        terms: dict[str, tuple[float, Tensor]] = {}
        if config.penalty_kind != "none" and config.penalty_every == 1:
            penalty = slope_penalty(config.penalty_kind, score, real_seen, fake_seen)
            terms[self._penalty_name] = config.penalty_weight, penalty
        if config.drift_weight:
            terms["drift"] = config.drift_weight, real_scores.square().mean()
        if config.lecam_weight:
            terms["lecam"] = config.lecam_weight, self.lecam(real_scores, fake_scores)
        for weight, value in terms.values():
            loss = loss + weight * value
        metrics = {name: value.detach() for name, (_, value) in terms.items()}
        metrics |= critic_metrics(config.objective, real_scores, fake_scores)
        with torch.no_grad():
            metrics |= {"real_diversity": diversity(real), "fake_diversity": diversity(fake)}
        means = {name: metrics[name] for name in ("real_score", "fake_score")} if config.lecam_weight else {}
        return Loss(loss, metrics, means)

    def penalty_loss(
        self, score: OfImages, real: Float[Tensor, "b c h w"], fake: Float[Tensor, "b c h w"], context: Context
    ) -> Loss:
        """The penalty as a step of its own: rarer by `penalty_every`, and stronger by as much.

        Karras et al. 2020, arXiv:1912.04958. The paper also adapts Adam's rate and betas to the larger number of steps,
        by a power near 1; here they stay as they are.
        """
        config = self.config
        penalty = slope_penalty(config.penalty_kind, score, self.seen(real, context), self.seen(fake, context))
        return Loss(config.penalty_every * config.penalty_weight * penalty, {self._penalty_name: penalty.detach()})

    def generator_loss(
        self,
        score: OfImages,
        real: Float[Tensor, "b c h w"],
        fake: Float[Tensor, "b c h w"],
        context: Context,
        features: OfImages | None = None,
    ) -> Loss:
        """What the generator minimises to raise the critic's score of its images, or to match features.

        Args:
            score: images to (n,) raw outputs of the critic, in the parameters' precision.
            real: images of the data in [-1, 1]; only feature matching looks at them.
            fake: generated images, with their graph.
            context: where the signal is computed.
            features: images to (n, f) activations of the critic, in the parameters' precision; for feature matching.
        """
        fake_seen = self.seen(fake, context)
        if not self.config.feature_matching:
            return Loss(generator_loss(self.config.objective, score(fake_seen)))
        assert features is not None, "a learner gives the features, or refuses the setting"
        with torch.no_grad():
            target = features(self.seen(real, context)).mean(dim=0)
        return Loss((features(fake_seen).mean(dim=0) - target).square().sum())

    def seen(self, images: Float[Tensor, "b c h w"], context: Context) -> Float[Tensor, "b c h w"]:
        """The images as the critic sees them: augmented, then with instance noise of that moment."""
        images = augment(self.config.augmentation, images)
        deviation = self.noise_at(context)
        return images + deviation * torch.randn_like(images) if deviation else images

    def noise_at(self, context: Context) -> float:
        """Standard deviation of the instance noise at a moment."""
        if not self.config.instance_noise:
            return 0.0
        left = 1.0 - context.moment.samples_seen / self.config.instance_noise_images
        return self.config.instance_noise * max(0.0, left)

    def lecam(self, real_scores: Float[Tensor, " r"], fake_scores: Float[Tensor, " f"]) -> Float[Tensor, ""]:
        """Squared distances of real scores to the past mean of generated ones, and the other way round.

        Tseng et al. 2021, arXiv:2104.03310; the means start at 0. docs/adversarial-game.md has the departures.
        """
        return (real_scores - self.fake_anchor).square().mean() + (fake_scores - self.real_anchor).square().mean()

    @torch.no_grad()
    def settle(self, player: str, critic: nn.Module, statistics: Mapping[str, Tensor]) -> None:
        """After a step of the player "critic": clip its weights, and move LeCam's means."""
        if player == "critic" and self.config.objective == "wasserstein-clip":  # Arjovsky 2017, Algorithm 1, line 7
            limit = self.config.clip_value
            for parameter in critic.parameters():
                parameter.clamp_(-limit, limit)
        if player == "critic" and self.config.lecam_weight and statistics:
            self.real_anchor.lerp_(statistics["real_score"].to(self.real_anchor), 1.0 - self.config.lecam_decay)
            self.fake_anchor.lerp_(statistics["fake_score"].to(self.fake_anchor), 1.0 - self.config.lecam_decay)

    @property
    def _penalty_name(self) -> str:
        """R1 has its own name: of the other penalties a diagnosis knows from which value on they are broken."""
        return "r1_penalty" if self.config.penalty_kind == "r1" else "penalty"
