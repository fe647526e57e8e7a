"""Training of the larger GANs beside hand-written PyTorch of the same networks, and bfloat16 beside float32.

Run:
    python benchmarks/gans.py

SNGAN, WGAN-GP and BigGAN for 32x32 colour images, at the sizes of their presets where there is a GPU; there the time is
wall time, and every block ends when the GPU has done its work. On a processor, where a round of the presets takes
minutes, their layers get as few channels as they can have: hardly anything is left but asking for the operations, which
is where a loop can lose time, so the ratios are what a GPU that waits for Python could show at the worst. See `loop.py`
for how two loops are compared.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics

import torch
from bare import CPU, Images
from loop import TARGET, check_same_work, contest, take_turns, training_of

from gen_dist.config import RunConfig, override
from gen_dist.models.gan.biggan import BigGANConfig
from gen_dist.models.gan.resnet import ResNetGANConfig
from gen_dist.presets import preset
from gen_dist.types import DataSpec

SPEC = DataSpec(channels=3, height=32, width=32)
LABELLED = DataSpec(channels=3, height=32, width=32, class_names=tuple("0123456789"))
NAMES = ("sngan-32", "wgan-gp-resnet-32", "biggan-32")
ROUNDS, TURNS = 4, 20  # on a GPU
CPU_ROUNDS, CPU_TURNS = 2, 40
NARROW = {"training.batch_size": 2, "model.generator_channels": 1, "model.critic_channels": 1}
NARROW_BIGGAN = NARROW | {"model.generator_channels": 8, "model.critic_channels": 8}  # its attention divides them by 8


def setting(name: str, device: torch.device, dtype: str) -> RunConfig:
    changes: dict[str, object] = {"training.precision": dtype, "training.channels_last": dtype == "bfloat16"}
    if device.type == "cpu":
        changes |= NARROW_BIGGAN if name.startswith("biggan") else NARROW
    return override(preset(name), changes)


def main() -> None:
    torch.set_num_threads(1)
    device = torch.device("cuda", 0) if torch.cuda.is_available() else CPU
    rounds, turns, clock = (ROUNDS, TURNS, 0) if device.type == "cuda" else (CPU_ROUNDS, CPU_TURNS, 1)
    torch.backends.cudnn.deterministic = True  # bit-equality is checked
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread, narrow networks"
    print(f"{where}, torch {torch.__version__}\n")
    print(
        "| preset | batch | images/s, float32 | beside a bare loop with the same metrics | without metrics "
        "| bfloat16 by float32 |"
    )
    print("|---|---|---|---|---|---|")
    for name in NAMES:
        config = setting(name, device, "float32")
        images = Images(LABELLED if name.startswith("biggan") else SPEC, device)
        check_same_work(config, images, rounds=1, device=device)
        taken = contest(config, images, rounds, turns, device)
        drawn = rounds * config.training.batch_size * critic_updates(config)
        ours = statistics.median(block[clock] for block in taken["gen_dist"])
        with_metrics, without = (ratio(taken["gen_dist"], taken[other], clock) for other in ("with metrics", "without"))
        cost = bfloat16_cost(name, images, device) if device.type == "cuda" else "-"
        print(f"| {name} | {config.training.batch_size} | {drawn / ours:,.0f} | {with_metrics} | {without} | {cost} |")
    print(f"\nMedians of the ratios of one turn, quartiles in brackets; the target is {TARGET} with metrics.")


def bfloat16_cost(name: str, images: Images, device: torch.device) -> str:
    """Time with bfloat16 and channels_last by time with float32."""
    trainings = {
        dtype: training_of(setting(name, device, dtype), images, ROUNDS, device) for dtype in ("float32", "bfloat16")
    }
    taken = take_turns({dtype: training.advance for dtype, training in trainings.items()}, TURNS)
    return ratio(taken["bfloat16"], taken["float32"], clock=0)


def critic_updates(config: RunConfig) -> int:
    assert isinstance(config.model, ResNetGANConfig | BigGANConfig)
    return config.model.game.critic_updates


def ratio(above: list[tuple[float, float]], below: list[tuple[float, float]], clock: int) -> str:
    low, middle, high = statistics.quantiles([a[clock] / b[clock] for a, b in zip(above, below, strict=True)], n=4)
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


if __name__ == "__main__":
    main()
