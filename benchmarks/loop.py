"""What the training loop costs beside hand-written PyTorch, and what bfloat16 with channels_last gains.

Run:
    python benchmarks/loop.py

The bare loop is what one would write for this one network and nothing else: the same two modules, the same losses, the
same fused Adam, the same moving average, the same images out of memory. It comes twice: with the metrics that gen_dist
reports, and without any. Before anything is timed, both loops train a few rounds from the same noise, and the benchmark
fails unless their weights are bit-equal: neither does more or less than the other.

Short blocks of each loop take turns on one thread, so that a busy machine slows all alike. A figure is the median over
the turns of the ratio of two blocks, with quartiles. CPU time does not count what other processes took.

Ratios of long rounds are noisy where other processes share the caches, so the fixed cost of a round is measured as
well, with networks that have the same layers but one channel: there the loop is a large part of the time.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gen_dist.config import RunConfig, override
from gen_dist.distributed.seeding import seed_for, seed_torch, seeded
from gen_dist.models.gan.dcgan import DCGAN, DCGANConfig
from gen_dist.optimization import Adam
from gen_dist.presets import preset
from gen_dist.training.training import Training
from gen_dist.types import DataSpec, ImageBatch

SPEC = DataSpec(channels=1, height=28, width=28)
NUM_IMAGES = 20_000
ENDLESS = 2**62
TARGET = 1.03
CHECKED_ROUNDS = 3
ROUNDS_PER_BLOCK = {"dcgan-28": 2, "wgan-gp-28": 1}
TURNS = {"dcgan-28": 60, "wgan-gp-28": 24}
PRECISION_TURNS = 10
SMALL_ROUNDS_PER_BLOCK = 20
SMALL_TURNS = 15
# The same layers with next to no arithmetic in them.
SMALL = {
    "model.generator_channels": 1,
    "model.critic_channels": 1,
    "model.latent_dim": 1,
    "training.batch_size": 2,
}

Advance = Callable[[], object]


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
        self.wasserstein = self.model.objective == "wasserstein-gp"
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
            for repeat in range(self.model.critic_updates):
                self.step_critic(repeat)
            self.step_generator()
            self.position += self.model.critic_updates * self.batch_size
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
            loss = fake_scores.mean() - real_scores.mean() + self.model.penalty_weight * penalty
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


def training_of(config: RunConfig, images: Images, rounds: int) -> Training:
    """gen_dist's loop, reading its metrics after every block of rounds."""
    settings = replace(config.training, images=ENDLESS, rounds_per_report=rounds, num_threads=1)
    training = Training(config.model, settings, config.seed, images)
    training.advance()
    return training


def check_same_work(config: RunConfig, images: Images) -> None:
    """Both loops, from the same noise, reach bit-equal weights and measure the same."""
    training = training_of(config, images, CHECKED_ROUNDS)
    bare = BareLoop(config, images, metrics=True)

    def same_noise(phase: int, number: int, repeat: int) -> None:
        seed_torch(seed_for("noise", config.seed, phase, number, repeat, 0))

    bare.before_step = same_noise
    names = set(bare.advance(CHECKED_ROUNDS))
    learner = training.state.learner
    assert isinstance(learner, DCGAN)
    for mine, its in ((learner.critic, bare.critic), (learner.generator, bare.generator)):
        for name, value in mine.state_dict().items():
            assert torch.equal(value, its.state_dict()[name]), f"the loops differ in {name}"
    torch.testing.assert_close(list(training.state.ema.weights.values()), bare.averages)
    reported = {name for name in training.history[-1] if name.startswith(("critic/", "generator/"))}
    assert names == reported, f"the bare loop measures {sorted(names ^ reported)} differently"


def take_turns(blocks: dict[str, Advance], turns: int) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) seconds of every block; each turn starts with another loop."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in blocks}
    names = list(blocks)
    for advance in blocks.values():
        advance()
    for turn in range(turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            wall, cpu = time.perf_counter(), time.process_time()
            blocks[name]()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return taken


def print_ratio(
    label: str, above: list[tuple[float, float]], below: list[tuple[float, float]], *, target: bool = False
) -> None:
    """The median and the quartiles of the ratios of one turn, in CPU time and in wall time."""
    shown = []
    for clock in (1, 0):
        ratios = [a[clock] / b[clock] for a, b in zip(above, below, strict=True)]
        shown.append(statistics.quantiles(ratios, n=4))
    (low, cpu, high), (wall_low, wall, wall_high) = shown
    verdict = f"   target {TARGET}: {'met' if cpu <= TARGET else 'MISSED'}" if target else ""
    print(
        f"  {label:<46}CPU {cpu:.3f} ({low:.3f}-{high:.3f})   wall {wall:.3f} ({wall_low:.3f}-{wall_high:.3f}){verdict}"
    )


def contest(config: RunConfig, images: Images, rounds: int, turns: int) -> dict[str, list[tuple[float, float]]]:
    """Blocks of gen_dist's loop and of both bare loops."""
    training = training_of(config, images, rounds)
    with_metrics, without = BareLoop(config, images, metrics=True), BareLoop(config, images, metrics=False)
    blocks: dict[str, Advance] = {
        "gen_dist": training.advance,
        "with metrics": lambda: with_metrics.advance(rounds),
        "without": lambda: without.advance(rounds),
    }
    return take_turns(blocks, turns)


def overhead(name: str, images: Images) -> None:
    config, rounds = preset(name), ROUNDS_PER_BLOCK[name]
    check_same_work(config, images)
    taken = contest(config, images, rounds, TURNS[name])
    per_round = statistics.median(cpu for _, cpu in taken["without"]) / rounds
    print(f"{name}: {1e3 * per_round:.1f} ms of CPU per round of the bare loop")
    print_ratio("gen_dist / bare loop with the same metrics", taken["gen_dist"], taken["with metrics"], target=True)
    print_ratio("gen_dist / bare loop without metrics", taken["gen_dist"], taken["without"])
    small = contest(override(config, SMALL), images, SMALL_ROUNDS_PER_BLOCK, SMALL_TURNS)
    for label in ("with metrics", "without"):
        pairs = zip(small["gen_dist"], small[label], strict=True)
        fixed = statistics.median(mine[1] - bare[1] for mine, bare in pairs) / SMALL_ROUNDS_PER_BLOCK
        print(f"  fixed cost beside the bare loop {label}: {1e3 * fixed:.2f} ms per round, {fixed / per_round:.2%}")


def precision(name: str, images: Images) -> None:
    rounds = ROUNDS_PER_BLOCK[name]
    settings = {
        "float32": ("float32", False),
        "float32, channels_last": ("float32", True),
        "bfloat16, channels_last": ("bfloat16", True),
    }
    trainings = {
        label: training_of(
            override(preset(name), {"training.precision": dtype, "training.channels_last": channels_last}),
            images,
            rounds,
        )
        for label, (dtype, channels_last) in settings.items()
    }
    taken = take_turns({label: training.advance for label, training in trainings.items()}, PRECISION_TURNS)
    print(f"{name}: time beside float32")
    for label in list(settings)[1:]:
        print_ratio(label, taken[label], taken["float32"])


def main() -> None:
    torch.set_num_threads(1)
    images = Images()
    for name in ROUNDS_PER_BLOCK:
        overhead(name, images)
    for name in ROUNDS_PER_BLOCK:
        precision(name, images)


if __name__ == "__main__":
    main()
