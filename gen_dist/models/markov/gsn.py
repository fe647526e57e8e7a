"""GSN: a Markov chain whose step is a noisy autoencoder; once that denoises well, the chain draws what it was shown.

Paper: Y. Bengio, E. Thibodeau-Laufer, G. Alain, J. Yosinski (2014), Deep Generative Stochastic Networks Trainable by
Backprop, arXiv:1306.1091. Scores: Y. Bengio, L. Yao, K. Cho (2014), Bounding the Test Log-Likelihood of Generative
Models, arXiv:1311.6184.

Departures: Adam instead of gradient descent with momentum; scores by CSL instead of a Parzen window.

| symbol | name here |
|---|---|
| C(X~ given X), the corruption | `corrupt` |
| H_t+1 = f(X~_t, Z_t, H_t), here two layers with tied weights | `update_first`, `update_second` |
| P(X given H) | a sigmoid of `reconstruct` |
| walkback (Sec. 3.4) | `walkback_steps` updates with a reconstruction each |
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gen_dist.capabilities import LikelihoodKind
from gen_dist.learner import Context, Learner, Loss, Phase, Player, Signal
from gen_dist.losses.likelihood import binarise
from gen_dist.models.checks import check_at_least_one
from gen_dist.models.paper import Paper
from gen_dist.models.solo import solo_player
from gen_dist.optimization import CONSTANT, Adam, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec, ImageBatch, from_unit

PAPER = Paper(
    title="Deep Generative Stochastic Networks Trainable by Backprop",
    authors="Y. Bengio, E. Thibodeau-Laufer, G. Alain, J. Yosinski",
    year=2014,
    arxiv="1306.1091",
)

_OPTIMIZER = Adam(learning_rate=1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class GSNConfig:
    """Settings of the chain.

    Attributes:
        first_hidden: units of the layer next to the image.
        second_hidden: units of the layer above it.
        salt_and_pepper: share of pixels that corruption sets to 0 or 1 at random.
        first_noise: standard deviation of Gaussian noise before and after the first layer's tanh.
        second_noise: the same of the second layer.
        walkback_steps: steps of the chain per training image, each of which must reconstruct it.
        sample_steps: steps from independent pixels to a sample.
        score_chains: chains whose states score images.
        score_steps: states of each, taken after `sample_steps` steps.
        pixel_noise: whether samples are binary draws, or the probabilities of the last step as grey values.
        optimizer: of the only player.
        schedule: of its learning rate.
        ema_decay: of the averaged weights, or None.
    """

    first_hidden: int = 500
    second_hidden: int = 500
    salt_and_pepper: float = 0.4
    first_noise: float = 0.0
    second_noise: float = 2.0
    walkback_steps: int = 4
    sample_steps: int = 200
    score_chains: int = 100
    score_steps: int = 100
    pixel_noise: bool = False
    optimizer: OptimizerConfig = _OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "first_hidden", "second_hidden", "sample_steps", "score_chains", "score_steps")
        if self.walkback_steps < 2:
            raise ValueError(
                f"model.walkback_steps is {self.walkback_steps}: it must be at least 2, as the second layer speaks "
                "from the second step on"
            )
        if not 0.0 < self.salt_and_pepper <= 1.0:
            raise ValueError(f"model.salt_and_pepper is {self.salt_and_pepper}: it must lie in (0, 1]")
        if self.first_noise < 0.0 or self.second_noise < 0.0:
            raise ValueError(
                f"model.first_noise is {self.first_noise} and model.second_noise {self.second_noise}: a standard "
                "deviation must be 0 or more"
            )

    def build(self, data: DataSpec) -> "GSN":
        """A freshly initialised chain over such images."""
        return GSN(self, data)


class State(NamedTuple):
    """Where chains are: binary images and the second hidden layer; the first follows from both.

    `logits` are those of the distribution that the images were drawn from.
    """

    visible: Float[Tensor, "b v"]
    second: Float[Tensor, "b k"]
    logits: Float[Tensor, "b v"]


@final
class GSN(Learner):
    """Visible units are the values of a binary image; hidden units are noisy tanh units."""

    def __init__(self, config: GSNConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data
        num = data.num_dimensions
        self.first_weight = nn.Parameter(_uniform(num, config.first_hidden))
        self.second_weight = nn.Parameter(_uniform(config.first_hidden, config.second_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(num))
        self.first_bias = nn.Parameter(torch.zeros(config.first_hidden))
        self.second_bias = nn.Parameter(torch.zeros(config.second_hidden))
        # Frequency of each pixel in the data: where chains start.
        self.mean: Tensor
        self.register_buffer("mean", torch.full((num,), 0.5))

    @property
    def players(self) -> Mapping[str, Player]:
        """All weights and biases are one player, "model"."""
        return solo_player(self, self.config)

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase, "walkback"."""
        return (Phase(name="walkback", player="model", signal=self.walkback),)

    @property
    def preparation_images(self) -> int:
        """Enough for the mean of each pixel."""
        return 10_000

    @torch.no_grad()
    def prepare(self, batch: ImageBatch) -> None:
        """Note the frequency of each pixel, with one more 0 and one more 1 than there are."""
        visible = self._visible(batch.images)
        self.mean.copy_((visible.sum(0) + 1.0) / (len(visible) + 2.0))
        self.visible_bias.copy_(torch.logit(self.mean))

    def walkback(self, batch: ImageBatch, context: Context) -> Signal:
        """Cross-entropy of the image, in nats, after each of some steps of a chain that starts there (Sec. 3.4)."""
        data = self._visible(batch.images)
        steps = torch.stack(
            [
                F.binary_cross_entropy_with_logits(state.logits, data, reduction="none").sum(1).mean()
                for state in self.chain(data, self.config.walkback_steps)
            ]
        )
        return Loss(steps.mean(), metrics={"first_step": steps[0].detach(), "last_step": steps[-1].detach()})

    def chain(self, visible: Float[Tensor, "b v"], num_steps: int, *, temperature: float = 1.0) -> Iterator[State]:
        """The states after each step from such images and silent hidden units; gradients flow through hidden units."""
        state = State(visible, visible.new_zeros(len(visible), self.config.second_hidden), visible)
        for _ in range(num_steps):
            state = self.step(state, temperature=temperature)
            yield state

    def step(self, state: State, *, temperature: float = 1.0) -> State:
        """Corrupt the image, update the odd layer, then the even ones: draw an image and update the second layer."""
        first = self.update_first(self.corrupt(state.visible), state.second)
        logits = self.reconstruct(first)
        visible = torch.sigmoid(logits.detach() / temperature).bernoulli()
        return State(visible, self.update_second(first), logits)

    def corrupt(self, visible: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        """Salt-and-pepper noise: a pixel is drawn anew, black or white alike, with probability `salt_and_pepper`."""
        replaced = torch.full_like(visible, self.config.salt_and_pepper).bernoulli()
        return torch.lerp(visible, torch.full_like(visible, 0.5).bernoulli(), replaced)

    def update_first(self, visible: Float[Tensor, "b v"], second: Float[Tensor, "b k"]) -> Float[Tensor, "b j"]:
        """The first layer given both its neighbours."""
        inputs = visible @ self.first_weight + second @ self.second_weight.T + self.first_bias
        return _noisy_tanh(inputs.to(self.mean.dtype), self.config.first_noise)

    def update_second(self, first: Float[Tensor, "b j"]) -> Float[Tensor, "b k"]:
        """The second layer given the first."""
        inputs = first @ self.second_weight + self.second_bias
        return _noisy_tanh(inputs.to(self.mean.dtype), self.config.second_noise)

    def reconstruct(self, first: Float[Tensor, "b j"]) -> Float[Tensor, "b v"]:
        """Logits of the image given the first layer, by the transpose of its weights."""
        return (first @ self.first_weight.T + self.visible_bias).to(self.mean.dtype)

    @property
    def likelihood_kind(self) -> LikelihoodKind:
        """CSL: an average over drawn states, below the log-probability on average."""
        return "estimate"

    @property
    def likelihood_of(self) -> Literal["8-bit", "binary"]:
        """The visible units are binary."""
        return "binary"

    @torch.no_grad()
    def log_probability(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """CSL in nats: log of the mean of P(x given h) over states of the chain (arXiv:1311.6184, Algorithm 1).

        By Jensen's inequality it is on average below log p(x) of what the chains draw, and rises with their number.
        """
        visible = self._visible(images)
        total = visible.new_full((len(visible),), -math.inf)
        start = self._independent_pixels(self.config.score_chains)
        steps = self.config.sample_steps + self.config.score_steps
        for number, state in enumerate(self.chain(start, steps)):
            if number >= self.config.sample_steps:
                each = visible @ state.logits.T - F.softplus(state.logits).sum(1)
                total = torch.logaddexp(total, torch.logsumexp(each, 1))
        return total - math.log(self.config.score_chains * self.config.score_steps)

    @torch.no_grad()
    def sample(
        self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """One chain for each image, from independent pixels; logits of an image are divided by `temperature`."""
        if condition is not None:
            raise ValueError("a condition was given: this GSN is unconditional")
        *_, last = self.chain(self._independent_pixels(num), self.config.sample_steps, temperature=temperature)
        values = last.visible if self.config.pixel_noise else torch.sigmoid(last.logits / temperature)
        return from_unit(values).reshape(num, *self.data.shape)

    def _independent_pixels(self, num: int) -> Float[Tensor, "n v"]:
        return self.mean.expand(num, -1).bernoulli()

    def _visible(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b v"]:
        return binarise(images, self.mean.dtype).flatten(1)


def _noisy_tanh(inputs: Float[Tensor, "b k"], deviation: float) -> Float[Tensor, "b k"]:
    """Tanh with Gaussian noise before and after."""
    if not deviation:
        return torch.tanh(inputs)
    activity = torch.tanh(inputs + deviation * torch.randn_like(inputs))
    return activity + deviation * torch.randn_like(activity)


def _uniform(num_in: int, num_out: int) -> Float[Tensor, "i o"]:
    """Uniform in +-sqrt(6 / (i + o)) (X. Glorot, Y. Bengio 2010)."""
    return (2.0 * torch.rand(num_in, num_out) - 1.0) * math.sqrt(6.0 / (num_in + num_out))
