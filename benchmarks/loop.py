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
from bare import CPU, BareLoop, Images

from gen_dist.config import RunConfig, override
from gen_dist.distributed.seeding import seed_for, seed_torch
from gen_dist.models.gan.biggan import BigGAN
from gen_dist.models.gan.unconditional import UnconditionalGAN
from gen_dist.presets import preset
from gen_dist.training.training import Training
from gen_dist.types import DataSpec

SPEC = DataSpec(channels=1, height=28, width=28)
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


def training_of(config: RunConfig, images: Images, rounds: int, device: torch.device = CPU) -> Training:
    """gen_dist's loop, reading its metrics after every block of rounds."""
    settings = replace(config.training, images=ENDLESS, rounds_per_report=rounds, num_threads=1)
    training = Training(config.model, settings, config.seed, images, device=device)
    training.advance()
    return training


def check_same_work(
    config: RunConfig, images: Images, *, rounds: int = CHECKED_ROUNDS, device: torch.device = CPU
) -> None:
    """Both loops, from the same noise, reach bit-equal weights and measure the same."""
    training = training_of(config, images, rounds, device)
    bare = BareLoop(config, images, metrics=True, device=device)

    def same_noise(phase: int, number: int, repeat: int) -> None:
        seed_torch(seed_for("noise", config.seed, phase, number, repeat, 0))

    bare.before_step = same_noise
    names = set(bare.advance(rounds))
    learner = training.state.learner
    assert isinstance(learner, UnconditionalGAN | BigGAN)
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
            wait_for_gpu()
            wall, cpu = time.perf_counter(), time.process_time()
            blocks[name]()
            wait_for_gpu()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return taken


def wait_for_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


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


def contest(
    config: RunConfig, images: Images, rounds: int, turns: int, device: torch.device = CPU
) -> dict[str, list[tuple[float, float]]]:
    """Blocks of gen_dist's loop and of both bare loops."""
    training = training_of(config, images, rounds, device)
    with_metrics, without = (BareLoop(config, images, metrics=metrics, device=device) for metrics in (True, False))
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
    images = Images(SPEC)
    for name in ROUNDS_PER_BLOCK:
        overhead(name, images)
    for name in ROUNDS_PER_BLOCK:
        precision(name, images)


if __name__ == "__main__":
    main()
