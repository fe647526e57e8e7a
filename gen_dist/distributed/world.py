"""The workers of one run, and the few things that they say to each other. The only caller of torch.distributed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor

CPU = torch.device("cpu")
BUCKET_BYTES = 25 << 20


@final
@dataclass(frozen=True, slots=True)
class World:
    """Who this worker is among how many. With one worker nothing is ever sent.

    Attributes:
        rank: number of this worker, from 0.
        size: number of workers.
        device: where tensors must lie to be sent (NCCL sends from GPUs only).
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @staticmethod
    def current(device: torch.device) -> "World":
        """The world of the initialised process group, or a world of one."""
        if dist.is_initialized():
            return World(dist.get_rank(), dist.get_world_size(), device)
        return World(device=device)

    def share(self, num_micro_batches: int, *, setting: str = "training.num_micro_batches") -> range:
        """The micro-batches that this worker computes.

        Args:
            num_micro_batches: of all workers.
            setting: where that number stands in the configuration.

        Raises:
            ValueError: there are more workers than micro-batches, so that one of them would have nothing to do.
        """
        if self.size > num_micro_batches:
            raise ValueError(
                f"{self.size} workers cannot share {num_micro_batches} micro-batch(es): set "
                f"{setting} to {self.size} or a multiple, or use fewer workers"
            )
        return range(self.rank, num_micro_batches, self.size)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all workers. Strides are kept.

        They are sent in buckets of one dtype: while one is on its way, the next is put together and the one before is
        taken apart.
        """
        if self.size == 1:
            return
        on_their_way = []
        for bucket in buckets_of(tensors, BUCKET_BYTES):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            on_their_way.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in on_their_way:
            work.wait()
            pieces = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, piece in zip(bucket, pieces, strict=True):
                tensor.copy_(piece.view(tensor.shape))

    def broadcast_(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        """Replace each tensor by the one of worker `source`."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.to(self.device, memory_format=torch.contiguous_format, copy=True)
            dist.broadcast(sent, source)
            tensor.copy_(sent)

    def tell(self, value: Any, source: int = 0) -> Any:
        """What worker `source` says, on every worker. The value travels as JSON: objects are never unpickled."""
        if self.size == 1:
            return value
        payload = json.dumps(value).encode() if self.rank == source else b""
        length = torch.tensor([len(payload)], device=self.device)
        dist.broadcast(length, source)
        body = torch.zeros(int(length), dtype=torch.uint8, device=self.device)
        if self.rank == source:
            body.copy_(torch.frombuffer(bytearray(payload), dtype=torch.uint8))
        dist.broadcast(body, source)
        return json.loads(bytes(body.cpu().tolist()))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is raised on any worker."""
        if self.size == 1:
            return flags
        raised = torch.tensor([int(flag) for flag in flags], device=self.device)
        dist.all_reduce(raised)
        return tuple(bool(count) for count in raised.tolist())


def buckets_of(tensors: Sequence[Tensor], bucket_bytes: int) -> list[list[Tensor]]:
    """Neighbours of one dtype together, as many as fit; a larger tensor alone.

    The buckets follow from the tensors alone: all workers send the same, and a sum has the same bits every time.
    """
    buckets: list[list[Tensor]] = []
    open_ones: dict[torch.dtype, tuple[list[Tensor], int]] = {}
    for tensor in tensors:
        bucket, filled = open_ones.get(tensor.dtype, ([], 0))
        if bucket and filled + tensor.nbytes > bucket_bytes:
            bucket, filled = [], 0
        if not bucket:
            buckets.append(bucket)
        bucket.append(tensor)
        open_ones[tensor.dtype] = bucket, filled + tensor.nbytes
    return buckets


def nccl_version() -> str | None:
    """The version of NCCL that this torch was built with, or None without one."""
    if not dist.is_nccl_available():
        return None
    return ".".join(str(part) for part in torch.cuda.nccl.version())  # type: ignore[no-untyped-call]
