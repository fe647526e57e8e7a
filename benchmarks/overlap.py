"""What bucketing the all-reduce gains, and what sending gradients while the backward pass still runs would.

Run:
    python benchmarks/overlap.py

Two processes on this machine, one thread each, gloo, one micro-batch each. Three ways of summing the gradients take
turns, so that a busy machine slows all alike:

- flat: one all-reduce of all gradients after the backward pass;
- bucketed: what gen_dist does: while a bucket is on its way, the next is put together;
- overlapped: buckets leave inside the backward pass, as soon as the last of their gradients is there.

After every turn the sums of all three must be bit-equal. A figure is the median over the turns of the ratio to "flat",
with quartiles. The networks: a chain of convolutions with much arithmetic for each weight, as in the presets, and a
chain of dense layers with little, where the sum is a large part of the time. The first tells what is gained, the second
what could be.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn

from gen_dist.distributed.world import World, buckets_of

WORKERS = 2
TURNS = 30
# Smaller than gen_dist's own, so that these small networks fill several.
BUCKET_BYTES = 1 << 20


def convolutions() -> tuple[nn.Module, Tensor]:
    layers = [nn.Conv2d(96, 96, 3, padding=1) for _ in range(8)]
    return nn.Sequential(*layers), torch.randn(16, 96, 14, 14)


def dense() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(8))), torch.randn(32, 1024)


NETWORKS = {"convolutions": convolutions, "dense": dense}


def backward(network: nn.Module, batch: Tensor) -> list[Tensor]:
    network.zero_grad(set_to_none=False)
    network(batch).square().mean().backward()
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def flat(network: nn.Module, batch: Tensor) -> None:
    gradients = backward(network, batch)
    _take_apart(gradients, *_send(gradients))


def bucketed(network: nn.Module, batch: Tensor) -> None:
    World.current(torch.device("cpu")).sum_(backward(network, batch))


def overlapped(network: nn.Module, batch: Tensor) -> None:
    parameters = [p for p in network.parameters() if p.grad is not None]
    buckets = buckets_of([p.grad for p in reversed(parameters) if p.grad is not None], BUCKET_BYTES)
    places = {id(tensor): number for number, bucket in enumerate(buckets) for tensor in bucket}
    missing = [len(bucket) for bucket in buckets]
    sent: list[tuple[Tensor, dist.Work]] = []

    def arrived(parameter: Tensor) -> None:
        missing[places[id(parameter.grad)]] -= 1
        while len(sent) < len(buckets) and not missing[len(sent)]:
            sent.append(_send(buckets[len(sent)]))

    hooks = [parameter.register_post_accumulate_grad_hook(arrived) for parameter in parameters]
    backward(network, batch)
    for hook in hooks:
        hook.remove()
    for bucket, (summed, work) in zip(buckets, sent, strict=True):
        _take_apart(bucket, summed, work)


WAYS: dict[str, Callable[[nn.Module, Tensor], None]] = {"flat": flat, "bucketed": bucketed, "overlapped": overlapped}


def _send(tensors: Sequence[Tensor]) -> tuple[Tensor, dist.Work]:
    summed = torch.cat([tensor.reshape(-1) for tensor in tensors])
    work = dist.all_reduce(summed, async_op=True)
    assert work is not None
    return summed, work


def _take_apart(tensors: Sequence[Tensor], summed: Tensor, work: dist.Work) -> None:
    work.wait()
    for tensor, piece in zip(tensors, torch.split(summed, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(piece.view(tensor.shape))


def contest(network: nn.Module, batch: Tensor) -> dict[str, list[float]]:
    """Seconds of every way, turn by turn; the first turn warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    names = list(WAYS)
    backward(network, batch)
    for turn in range(TURNS + 1):
        sums = {}
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            dist.barrier()
            began = time.perf_counter()
            WAYS[name](network, batch)
            seconds[name].append(time.perf_counter() - began)
            sums[name] = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        for name in names:
            assert all(map(torch.equal, sums[name], sums["flat"])), f"{name} gives other sums than flat"
    return {name: taken[1:] for name, taken in seconds.items()}


def work(rank: int, meeting_place: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting_place, rank=rank, world_size=WORKERS)
    for label, make in NETWORKS.items():
        torch.manual_seed(0)
        network, batch = make()
        seconds = contest(network, batch + rank)
        if rank == 0:
            megabytes = sum(p.nbytes for p in network.parameters()) / 2**20
            print(f"{label}, {megabytes:.0f} MiB of gradients: flat {1e3 * statistics.median(seconds['flat']):.0f} ms")
            for name in ("bucketed", "overlapped"):
                ratios = [its / flat for its, flat in zip(seconds[name], seconds["flat"], strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                print(f"  {name:<10} / flat {middle:.3f} ({low:.3f}-{high:.3f})")
    dist.destroy_process_group()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, args=(Path(folder, "meeting").as_uri(),), nprocs=WORKERS)


if __name__ == "__main__":
    main()
