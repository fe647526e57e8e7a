"""Toy learners, one for each way in which a family is awkward, and a stream of made-up images to train them on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gen_dist.learner import Context, Gradient, Learner, Loss, Phase, Player
from gen_dist.optimization import SGD, Adam, OptimizerConfig, RMSprop
from gen_dist.types import DataSpec, ImageBatch, to_signed

spectral_norm = torch.nn.utils.parametrizations.spectral_norm
SPEC = DataSpec(channels=1, height=2, width=3)
SIZE = SPEC.num_dimensions
ADAM = Adam(learning_rate=1e-2, betas=(0.5, 0.9))


class MadeUpStream:
    """Endless images, each a pure function of its position."""

    spec = SPEC
    num_images = 64

    def __init__(self, poisoned: int | None = None) -> None:
        self.poisoned = poisoned

    def take(self, start: int, count: int) -> ImageBatch:
        images = np.stack([np.random.default_rng(p).integers(1, 256, SPEC.shape) for p in range(start, start + count)])
        if self.poisoned is not None and start <= self.poisoned < start + count:
            images[self.poisoned - start] = 0  # PoisonedGAN divides by the brightness
        return ImageBatch(images=torch.from_numpy(images.astype(np.uint8)))

    def prefetch(self, start: int, count: int) -> None: ...

    def close(self) -> None: ...


def flat(batch: ImageBatch) -> Tensor:
    return to_signed(batch.images, torch.float64).flatten(1)


class ToyGAN(Learner):
    """Spectral norm + batch norm + dropout in the critic, two critic steps; optional LeCam anchors or clipping."""

    def __init__(self, extra: str, optimizer: OptimizerConfig) -> None:
        super().__init__()
        self.extra, self.optimizer = extra, optimizer
        self.critic = nn.Sequential(
            spectral_norm(nn.Linear(SIZE, 16)),
            nn.BatchNorm1d(16),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            spectral_norm(nn.Linear(16, 1)),
        )
        self.generator = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, SIZE))
        self.register_buffer("anchors", torch.zeros(2))
        self.anchors: Tensor

    @property
    def players(self) -> Mapping[str, Player]:
        return {
            "critic": Player(module=self.critic, optimizer=self.optimizer),
            "generator": Player(module=self.generator, optimizer=self.optimizer, ema_decay=0.9),
        }

    @property
    def phases(self) -> Sequence[Phase]:
        return (
            Phase(name="critic", player="critic", signal=self.critic_loss, repeats=2),
            Phase(name="generator", player="generator", signal=self.generator_loss),
        )

    def fakes(self, num: int) -> Tensor:
        return self.generator(torch.randn(num, 6, dtype=torch.float64))

    def critic_loss(self, batch: ImageBatch, context: Context) -> Loss:
        with torch.no_grad():
            fake = self.fakes(len(batch))
        if self.extra == "poisoned":
            fake = fake / batch.images.double().flatten(1).mean(1, keepdim=True)
        real_score, fake_score = self.critic(flat(batch)), self.critic(fake)
        loss = F.relu(1 - real_score).mean() + F.relu(1 + fake_score).mean()
        if self.extra != "lecam":
            return Loss(loss)
        anchored = (real_score - self.anchors[1]).square().mean() + (fake_score - self.anchors[0]).square().mean()
        scores = torch.stack([real_score.mean(), fake_score.mean()]).detach()
        return Loss(loss + 0.1 * anchored, statistics={"scores": scores})

    def generator_loss(self, batch: ImageBatch, context: Context) -> Loss:
        return Loss(-self.critic(self.fakes(len(batch))).mean())

    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        if "scores" in statistics:
            self.anchors.lerp_(statistics["scores"], 0.1)
        if self.extra == "clip" and player == "critic":
            for parameter in self.critic.parameters():
                parameter.clamp_(-0.05, 0.05)


class ToyPenaltyGAN(Learner):
    """A gradient penalty: double backward, with one critic step more than the generator's."""

    def __init__(self, optimizer: OptimizerConfig) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.critic = nn.Sequential(nn.Linear(SIZE, 16), nn.Tanh(), nn.Linear(16, 1))
        self.generator = nn.Linear(6, SIZE)

    @property
    def players(self) -> Mapping[str, Player]:
        modules = {"critic": self.critic, "generator": self.generator}
        return {name: Player(module=module, optimizer=self.optimizer) for name, module in modules.items()}

    @property
    def phases(self) -> Sequence[Phase]:
        return (
            Phase(name="critic", player="critic", signal=self.critic_loss, repeats=3),
            Phase(name="generator", player="generator", signal=self.generator_loss, every=2),
        )

    def critic_loss(self, batch: ImageBatch, context: Context) -> Loss:
        real = flat(batch)
        with torch.no_grad():
            fake = self.generator(torch.randn(len(real), 6, dtype=torch.float64))
        share = torch.rand(len(real), 1, dtype=torch.float64)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        return Loss(self.critic(fake).mean() - self.critic(real).mean() + 10 * penalty)

    def generator_loss(self, batch: ImageBatch, context: Context) -> Loss:
        return Loss(-self.critic(self.generator(torch.randn(len(batch), 6, dtype=torch.float64))).mean())


class ToyCodebook(Learner):
    """A codebook that moves by averages of statistics, not by gradient."""

    def __init__(self, optimizer: OptimizerConfig) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(SIZE, 3), nn.Linear(3, SIZE)
        self.optimizer = optimizer
        self.register_buffer("codebook", torch.randn(5, 3))
        self.register_buffer("counts", torch.ones(5))
        self.register_buffer("sums", torch.zeros(5, 3))
        self.codebook: Tensor
        self.counts: Tensor
        self.sums: Tensor
        self.sums.copy_(self.codebook)

    @property
    def players(self) -> Mapping[str, Player]:
        return {"model": Player(module=nn.ModuleList([self.encoder, self.decoder]), optimizer=self.optimizer)}

    @property
    def phases(self) -> Sequence[Phase]:
        return (Phase(name="model", player="model", signal=self.reconstruction),)

    def reconstruction(self, batch: ImageBatch, context: Context) -> Loss:
        x = flat(batch)
        z = self.encoder(x)
        code = torch.cdist(z, self.codebook).argmin(1)
        quantised, chosen = self.codebook[code], F.one_hot(code, 5).double()
        decoded = self.decoder(z + (quantised - z).detach())
        loss = (decoded - x).square().mean() + 0.25 * (z - quantised).square().mean()
        return Loss(loss, statistics={"counts": chosen.sum(0), "sums": (chosen.T @ z).detach()})

    def settle(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        self.counts.lerp_(statistics["counts"], 0.1)
        self.sums.lerp_(statistics["sums"], 0.1)
        self.codebook.copy_(self.sums / self.counts.clamp_min(1e-3)[:, None])


class ToyChains(Learner):
    """Persistent chains in the micro-batch's memory, and a gradient without autograd."""

    def __init__(self, optimizer: OptimizerConfig) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.weight = nn.Parameter(torch.randn(SIZE, 4) * 0.1)

    @property
    def players(self) -> Mapping[str, Player]:
        return {"rbm": Player(module=self, optimizer=self.optimizer)}

    @property
    def phases(self) -> Sequence[Phase]:
        return (Phase(name="rbm", player="rbm", signal=self.contrastive_divergence),)

    @torch.no_grad()
    def contrastive_divergence(self, batch: ImageBatch, context: Context) -> Gradient:
        visible = (flat(batch) > 0).double()
        chain = context.memory.get("chain", visible)
        for _ in range(2):
            hidden = torch.bernoulli(torch.sigmoid(chain @ self.weight))
            chain = torch.bernoulli(torch.sigmoid(hidden @ self.weight.T))
        context.memory["chain"] = chain
        rise = visible.T @ torch.sigmoid(visible @ self.weight) - chain.T @ torch.sigmoid(chain @ self.weight)
        return Gradient({self.weight: -rise / len(visible)})


class ToyPool(Learner):
    """An image pool of fixed size in the micro-batch's memory, written by one phase and read by the next."""

    def __init__(self, optimizer: OptimizerConfig) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.generator, self.critic = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, 1)

    @property
    def players(self) -> Mapping[str, Player]:
        modules = {"generator": self.generator, "critic": self.critic}
        return {name: Player(module=module, optimizer=self.optimizer) for name, module in modules.items()}

    @property
    def phases(self) -> Sequence[Phase]:
        return (
            Phase(name="generator", player="generator", signal=self.generator_loss),
            Phase(name="critic", player="critic", signal=self.critic_loss),
        )

    def generator_loss(self, batch: ImageBatch, context: Context) -> Loss:
        x = flat(batch)
        fake = self.generator(x)
        pool = context.memory.get("pool", fake.detach().repeat(20, 1)[:20])
        context.memory["pool"] = torch.cat([pool, fake.detach()])[-20:]
        return Loss((self.critic(fake) - 1).square().mean() + (fake - x).abs().mean())

    def critic_loss(self, batch: ImageBatch, context: Context) -> Loss:
        pool = context.memory["pool"]
        old = pool[torch.randint(len(pool), (len(batch),))]
        return Loss((self.critic(flat(batch)) - 1).square().mean() + self.critic(old).square().mean())


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyConfig:
    """Which toy to build; all compute in float64."""

    name: str
    optimizer: OptimizerConfig = ADAM

    def build(self, data: DataSpec) -> Learner:
        return _TOYS[self.name](self.optimizer).double()


_TOYS: dict[str, Any] = {
    "hinge with spectral norm, batch norm, dropout": lambda optimizer: ToyGAN("", optimizer),
    "lecam": lambda optimizer: ToyGAN("lecam", optimizer),
    "clipping": lambda optimizer: ToyGAN("clip", optimizer),
    "poisoned": lambda optimizer: ToyGAN("poisoned", optimizer),
    "wgan-gp": ToyPenaltyGAN,
    "codebook": ToyCodebook,
    "persistent chains": ToyChains,
    "image pool": ToyPool,
}
TOYS = tuple(name for name in _TOYS if name != "poisoned")
OPTIMIZERS: dict[str, OptimizerConfig] = {
    "adam": ADAM,
    "rmsprop": RMSprop(learning_rate=1e-2),
    "sgd": SGD(learning_rate=1e-2, momentum=0.9),
}
