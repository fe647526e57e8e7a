"""Sums over the workers: nothing is lost, mixed up or bent by travelling in buckets."""

from unittest import mock

import torch
from pool import WorkerPool
from torch import Tensor

from gen_dist.distributed import world as world_module
from gen_dist.distributed.world import World, buckets_of

SHAPES = [(3, 2, 4, 4), (5,), (), (40,), (1, 7), (2, 3)]


def tensors_of(rank: int) -> list[Tensor]:
    """Whole numbers, whose sums are exact in any order; two dtypes in turns, and one channels_last."""
    made = []
    for number, shape in enumerate(SHAPES):
        dtype = torch.float64 if number % 2 else torch.float32
        made.append((torch.randint(0, 1000, shape) * (rank + 1)).to(dtype))
    made[0] = made[0].to(memory_format=torch.channels_last)
    return made


def summed(bucket_bytes: int) -> list[tuple[Tensor, tuple[int, ...]]]:
    world = World.current(torch.device("cpu"))
    torch.manual_seed(0)
    tensors = tensors_of(world.rank)
    with mock.patch.object(world_module, "BUCKET_BYTES", bucket_bytes):
        world.sum_(tensors)
    return [(tensor, tensor.stride()) for tensor in tensors]


def test_every_tensor_becomes_its_sum_whatever_the_buckets(pool: WorkerPool) -> None:
    torch.manual_seed(0)
    alone = tensors_of(0)
    for bucket_bytes in (1, 100, world_module.BUCKET_BYTES):
        for answer in pool.run(summed, bucket_bytes, workers=3):
            for (found, strides), tensor in zip(answer, alone, strict=True):
                assert torch.equal(found, tensor * (1 + 2 + 3))
                assert strides == tensor.stride()


def test_buckets_hold_every_tensor_once_and_no_more_than_fits() -> None:
    tensors = tensors_of(0)
    buckets = buckets_of(tensors, 100)
    assert sorted(id(t) for bucket in buckets for t in bucket) == sorted(id(t) for t in tensors)
    for bucket in buckets:
        assert len({tensor.dtype for tensor in bucket}) == 1
        assert len(bucket) == 1 or sum(tensor.nbytes for tensor in bucket) <= 100
    assert len(buckets_of(tensors, 10**6)) == 2, "one for each dtype"
