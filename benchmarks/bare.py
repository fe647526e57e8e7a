"""The networks of GAN presets trained by hand-written PyTorch: what `loop.py` compares the training loop with."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gen_dist.config import RunConfig
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.losses.orthogonality import filter_overlap
from gen_dist.models.gan.biggan import BigGAN, BigGANConfig
from gen_dist.models.gan.unconditional import UnconditionalGAN
from gen_dist.nn.spectral import largest_singular_values
from gen_dist.optimization import Adam
from gen_dist.types import DataSpec, ImageBatch

NUM_IMAGES = 20_000
CPU = torch.device("cpu")


class Images:
    """Images in memory in a shuffled order: the least that any source of training images can do."""

    num_images = NUM_IMAGES

    def __init__(self, spec: DataSpec, device: torch.device = CPU) -> None:
        generator = torch.Generator().manual_seed(0)
        self.spec, self._pinned = spec, device.type == "cuda"
        self._images = torch.randint(0, 256, (NUM_IMAGES, *spec.shape), dtype=torch.uint8, generator=generator)
        self._labels = torch.randint(0, max(1, spec.num_classes), (NUM_IMAGES,), generator=generator)
        self._order = torch.randperm(NUM_IMAGES, generator=generator)

    def take(self, start: int, count: int) -> ImageBatch:
        position = start % (NUM_IMAGES - count)
        chosen = self._order[position : position + count]
        images, labels = self._images[chosen], self._labels[chosen] if self.spec.num_classes else None
        if self._pinned:
            images, labels = images.pin_memory(), None if labels is None else labels.pin_memory()
        return ImageBatch(images=images, labels=labels)

    def prefetch(self, start: int, count: int) -> None:
        return


class BareLoop:
    """Training of one pair of networks, written by hand: the logistic, the hinge and the WGAN-GP game."""

    def __init__(self, config: RunConfig, images: Images, *, metrics: bool, device: torch.device = CPU) -> None:
        with seeded(seed_for("initialise", config.seed)):
            learner = config.model.build(images.spec)
        assert isinstance(learner, UnconditionalGAN | BigGAN)
        assert not isinstance(learner, BigGAN) or learner.num_classes
        self.model, self.images, self.batch_size = learner.config, images, config.training.batch_size
        self.game, self.device = self.model.game, device
        self.layout = torch.channels_last if config.training.channels_last else torch.contiguous_format
        learner.to(device)
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
            for repeat in range(self.game.critic_updates):
                self.step_critic(repeat)
            self.step_generator()
            self.position += self.game.critic_updates * self.batch_size
            self.rounds += 1
        values = torch.stack(list(self.sums.values())).tolist() if self.sums else []
        averages = dict(zip(self.sums, values, strict=True))
        self.sums.clear()
        return averages

    def draw(self, labels: Tensor | None) -> Tensor:
        noise = torch.randn(self.batch_size, self.model.latent_dim, device=self.device)
        if labels is not None:
            noise = self.generator.with_classes(noise, labels)
        images: Tensor = self.generator(noise)
        return images

    def score(self, images: Tensor, labels: Tensor | None) -> Tensor:
        scores: Tensor = self.critic(images).squeeze(1) if labels is None else self.critic(images, labels)
        return scores

    def step_critic(self, repeat: int) -> None:
        if self.before_step:
            self.before_step(0, self.rounds, repeat)
        batch = self.images.take(self.position + repeat * self.batch_size, self.batch_size)
        batch = batch.to(self.device, self.layout)
        labels, real = batch.labels, batch.images.float() / 127.5 - 1.0
        with torch.no_grad():
            fake = self.draw(labels)
        real_scores, fake_scores = self.score(real, labels), self.score(fake, labels)
        measured: dict[str, Tensor] = {}
        match self.game.objective:
            case "wasserstein-gp":
                epsilon = torch.rand(self.batch_size, 1, 1, 1, device=self.device)
                between = torch.lerp(fake, real, epsilon).requires_grad_()
                (slopes,) = torch.autograd.grad(self.score(between, labels).sum(), between, create_graph=True)
                penalty = (torch.linalg.vector_norm(slopes.flatten(1), dim=1) - 1.0).square().mean()
                loss = fake_scores.mean() - real_scores.mean() + self.game.penalty_weight * penalty
                measured["penalty"] = penalty
            case "hinge":
                loss = F.relu(1.0 - real_scores).mean() + F.relu(1.0 + fake_scores).mean()
            case _:
                loss = F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=self.critic_weights)
        if self.metrics:
            self.measure_critic(real, fake, real_scores.detach(), fake_scores.detach(), measured | {"loss": loss})
        self.critic_optimizer.step()

    def step_generator(self) -> None:
        if self.before_step:
            self.before_step(1, self.rounds, 0)
        labels = None
        if self.images.spec.num_classes:
            labels = self.images.take(self.position, self.batch_size).to(self.device, self.layout).labels
        scores = self.score(self.draw(labels), labels)
        loss = F.softplus(-scores).mean() if self.game.objective == "non-saturating" else -scores.mean()
        measured: dict[str, Tensor] = {}
        if isinstance(self.model, BigGANConfig):
            overlap = filter_overlap(self.generator.filters)
            loss = loss + self.model.orthogonal_weight * overlap
            measured["filter_overlap"] = overlap
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=self.generator_weights)
        if self.metrics:
            norm = gradient_norm(self.generator_weights)
            self.note("generator", measured | {"loss": loss, "gradient_norm": norm} | self.spectrum(self.generator))
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
        threshold = 0.5 * (real_score + fake_score) if self.game.objective == "wasserstein-gp" else 0.0
        values = {
            **measured,
            "real_score": real_score,
            "fake_score": fake_score,
            "real_accuracy": (real_scores > threshold).float().mean(),
            "fake_accuracy": (fake_scores < threshold).float().mean(),
            "real_diversity": real.std(dim=0, correction=0).mean(),
            "fake_diversity": fake.std(dim=0, correction=0).mean(),
            "gradient_norm": gradient_norm(self.critic_weights),
        }
        self.note("critic", values | self.spectrum(self.critic))

    def spectrum(self, network: nn.Module) -> dict[str, Tensor]:
        """BigGAN reports the largest singular value of its layers."""
        if not isinstance(self.model, BigGANConfig):
            return {}
        return {"singular_value_1": largest_singular_values(network, 1)[0]}

    def note(self, phase: str, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            key = f"{phase}/{name}"
            self.sums[key] = self.sums[key] + value.detach() if key in self.sums else value.detach()


def gradient_norm(weights: list[nn.Parameter]) -> Tensor:
    return nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])


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
