"""The DCGAN and the WGAN-GP of the presets as hand-written PyTorch: what `loop.py` compares the training loop with."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gen_dist.config import RunConfig
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.optimization import Adam
from gen_dist.types import DataSpec, ImageBatch

SPEC = DataSpec(channels=1, height=28, width=28)
NUM_IMAGES = 20_000


class Images:
    """Images in memory in a shuffled order: the least that any source of training images can do."""

    spec = SPEC
    num_images = NUM_IMAGES

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._images = torch.randint(0, 256, (NUM_IMAGES, *SPEC.shape), dtype=torch.uint8, generator=generator)
        self._order = torch.randperm(NUM_IMAGES, generator=generator)

    def take(self, start: int, count: int) -> ImageBatch:
        return ImageBatch(images=self.images(start, count))

    def prefetch(self, start: int, count: int) -> None:
        return

    def images(self, start: int, count: int) -> Tensor:
        position = start % (NUM_IMAGES - count)
        return self._images[self._order[position : position + count]]


class BareLoop:
    """Training of one pair of networks, written by hand."""

    def __init__(self, config: RunConfig, images: Images, *, metrics: bool) -> None:
        assert isinstance(config.model, DCGANConfig)
        self.model, self.images, self.batch_size = config.model, images, config.training.batch_size
        self.wasserstein = self.model.game.objective == "wasserstein-gp"
        with seeded(seed_for("initialise", config.seed)):
            learner = self.model.build(SPEC)
        if config.training.channels_last:
            learner.to(memory_format=torch.channels_last)
        self.critic, self.generator = learner.critic.train(), learner.generator.train()
        self.critic_weights, self.generator_weights = list(self.critic.parameters()), list(self.generator.parameters())
        self.critic_optimizer = adam(self.model.critic_optimizer, self.critic_weights)
        self.generator_optimizer = adam(self.model.generator_optimizer, self.generator_weights)
        self.averages = [weight.detach().clone() for weight in self.generator_weights]
        self.metrics = metrics
        self.sums: dict[str, Tensor] = {}
        self.position = self.updates = self.rounds = 0
        self.before_step: Callable[[int, int, int], None] | None = None

    def advance(self, rounds: int) -> dict[str, float]:
        """Train some rounds and read what was measured."""
        for _ in range(rounds):
            for repeat in range(self.model.game.critic_updates):
                self.step_critic(repeat)
            self.step_generator()
            self.position += self.model.game.critic_updates * self.batch_size
            self.rounds += 1
        values = torch.stack(list(self.sums.values())).tolist() if self.sums else []
        averages = dict(zip(self.sums, values, strict=True))
        self.sums.clear()
        return averages

    def step_critic(self, repeat: int) -> None:
        if self.before_step:
            self.before_step(0, self.rounds, repeat)
        batch = self.images.images(self.position + repeat * self.batch_size, self.batch_size)
        real = batch.float() / 127.5 - 1.0
        with torch.no_grad():
            fake = self.generator(torch.randn(self.batch_size, self.model.latent_dim))
        real_scores, fake_scores = self.critic(real).squeeze(1), self.critic(fake).squeeze(1)
        measured: dict[str, Tensor] = {}
        if self.wasserstein:
            between = torch.lerp(fake, real, torch.rand(self.batch_size, 1, 1, 1)).requires_grad_()
            (slopes,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
            penalty = (torch.linalg.vector_norm(slopes.flatten(1), dim=1) - 1.0).square().mean()
            loss = fake_scores.mean() - real_scores.mean() + self.model.game.penalty_weight * penalty
            measured["penalty"] = penalty
        else:
            loss = F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=self.critic_weights)
        if self.metrics:
            self.measure_critic(real, fake, real_scores.detach(), fake_scores.detach(), measured | {"loss": loss})
        self.critic_optimizer.step()

    def step_generator(self) -> None:
        if self.before_step:
            self.before_step(1, self.rounds, 0)
        scores = self.critic(self.generator(torch.randn(self.batch_size, self.model.latent_dim))).squeeze(1)
        loss = -scores.mean() if self.wasserstein else F.softplus(-scores).mean()
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=self.generator_weights)
        if self.metrics:
            norm = nn.utils.get_total_norm(
                [weight.grad for weight in self.generator_weights if weight.grad is not None]
            )
            self.note("generator", {"loss": loss, "gradient_norm": norm})
        self.generator_optimizer.step()
        self.updates += 1
        if self.model.ema_decay is not None:
            decay = min(self.model.ema_decay, (1 + self.updates) / (10 + self.updates))
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.generator_weights, 1.0 - decay)

    @torch.no_grad()
    def measure_critic(
        self, real: Tensor, fake: Tensor, real_scores: Tensor, fake_scores: Tensor, measured: dict[str, Tensor]
    ) -> None:
        real_score, fake_score = real_scores.mean(), fake_scores.mean()
        threshold = 0.5 * (real_score + fake_score) if self.wasserstein else 0.0
        values = {
            **measured,
            "real_score": real_score,
            "fake_score": fake_score,
            "real_accuracy": (real_scores > threshold).float().mean(),
            "fake_accuracy": (fake_scores < threshold).float().mean(),
            "real_diversity": real.std(dim=0, correction=0).mean(),
            "fake_diversity": fake.std(dim=0, correction=0).mean(),
            "gradient_norm": nn.utils.get_total_norm([w.grad for w in self.critic_weights if w.grad is not None]),
        }
        self.note("critic", values)

    def note(self, phase: str, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            key = f"{phase}/{name}"
            self.sums[key] = self.sums[key] + value.detach() if key in self.sums else value.detach()


def adam(config: object, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    assert isinstance(config, Adam)
    return torch.optim.AdamW(
        weights,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )
