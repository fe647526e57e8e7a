"""The first generative adversarial network: two multilayer perceptrons, and Algorithm 1 as it is printed.

I. Goodfellow, J. Pouget-Abadie, M. Mirza, B. Xu, D. Warde-Farley, S. Ozair, A. Courville, Y. Bengio (2014): Generative
Adversarial Networks, arXiv:1406.2661.

Departures: the latent is Gaussian; images lie in [-1, 1], where a tanh is what a sigmoid (of twice its argument) is in
[0, 1]; momentum and rate are constant; first weights are Gaussian; what is evaluated may be a moving average.

| symbol | paper | here |
|---|---|---|
| z | noise | `latents`, standard normal |
| G(z) | rectifiers, then sigmoids | `generator(latents)`, ReLU, then tanh |
| D(x) | maxout with dropout, then a sigmoid | sigmoid of `critic(images)`, whose raw output is called the score |
| k | steps of D for each of G | `game.critic_updates` |
"""

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_dist.models.checks import check_at_least_one
from gen_dist.models.gan.game import GameConfig
from gen_dist.models.gan.unconditional import UnconditionalGAN, check_ema_decay
from gen_dist.models.paper import Paper
from gen_dist.optimization import CONSTANT, SGD, LearningRateSchedule, OptimizerConfig
from gen_dist.types import DataSpec

PAPER = Paper(
    title="Generative Adversarial Networks",
    authors="Ian J. Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, Bing Xu, David Warde-Farley, Sherjil Ozair, "
    "Aaron Courville, Yoshua Bengio",
    year=2014,
    arxiv="1406.2661",
)

_PAPER_OPTIMIZER = SGD(learning_rate=0.1, momentum=0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class OriginalGANConfig:
    """Settings of the first GAN; the defaults are those of the authors' code for MNIST.

    Attributes:
        game: what the two networks minimise, how often they move, and what keeps them stable.
        latent_dim: length of z.
        generator_hidden: widths of the generator's rectified layers.
        critic_hidden: numbers of the critic's maxout units, layer by layer.
        critic_pieces: linear functions of which a maxout unit takes the largest.
        input_dropout: share of the image's values that the critic does not see in training.
        hidden_dropout: share of each hidden layer that is dropped in training.
        generator_std: standard deviation of the generator's first weights.
        critic_std: the same for the critic.
        generator_optimizer: of the generator.
        critic_optimizer: of the critic.
        schedule: of both learning rates.
        ema_decay: of the generator's average that is evaluated instead of its weights, or None.
    """

    game: GameConfig = field(default_factory=GameConfig)
    latent_dim: int = 100
    generator_hidden: tuple[int, ...] = (1200, 1200)
    critic_hidden: tuple[int, ...] = (240, 240)
    critic_pieces: int = 5
    input_dropout: float = 0.2
    hidden_dropout: float = 0.5
    generator_std: float = 0.03
    critic_std: float = 0.003
    generator_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    critic_optimizer: OptimizerConfig = _PAPER_OPTIMIZER
    schedule: LearningRateSchedule = CONSTANT
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(self, "latent_dim", "critic_pieces")
        for name in ("generator_hidden", "critic_hidden"):
            widths = getattr(self, name)
            if not widths or min(widths) < 1:
                raise ValueError(f"model.{name} is {widths}: name one width or more, each at least 1")
        for name in ("input_dropout", "hidden_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must lie in [0, 1)")
        for name in ("generator_std", "critic_std"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be a positive, finite number")
        check_ema_decay(self.ema_decay)

    def build(self, data: DataSpec) -> UnconditionalGAN:
        """Both perceptrons for such images, with fresh weights from torch's global generator."""
        return UnconditionalGAN(self, _generator(self, data), _critic(self, data))


@final
class Maxout(nn.Module):
    """The largest of several linear functions, for each unit (Goodfellow et al. 2013, arXiv:1302.4389)."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.pieces = pieces

    def forward(self, values: Float[Tensor, "b i"]) -> Float[Tensor, "b u"]:
        """The maxima."""
        maxima: Tensor = self.linear(values).unflatten(1, (-1, self.pieces)).amax(dim=2)
        return maxima


def _generator(config: OriginalGANConfig, data: DataSpec) -> nn.Sequential:
    """Latents to images: noise enters at the bottom only."""
    layers: list[nn.Module] = []
    width = config.latent_dim
    for hidden in config.generator_hidden:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
        width = hidden
    layers += [nn.Linear(width, data.num_dimensions), nn.Tanh(), nn.Unflatten(1, data.shape)]
    return _initialised(nn.Sequential(*layers), config.generator_std)


def _critic(config: OriginalGANConfig, data: DataSpec) -> nn.Sequential:
    """Images to one logit, with dropout before every layer."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Dropout(config.input_dropout)]
    width = data.num_dimensions
    for hidden in config.critic_hidden:
        layers += [Maxout(width, hidden, config.critic_pieces), nn.Dropout(config.hidden_dropout)]
        width = hidden
    layers.append(nn.Linear(width, 1, bias=config.game.has_zero))
    return _initialised(nn.Sequential(*layers), config.critic_std)


@torch.no_grad()
def _initialised(network: nn.Sequential, std: float) -> nn.Sequential:
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        else:
            parameter.normal_(std=std)
    return network
