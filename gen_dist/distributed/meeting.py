"""How workers that nobody else introduces to each other become a process group."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import final

import torch
import torch.distributed as dist
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from gen_dist.distributed.world import World

# Worker 0 judges the model while the others wait for it.
_PATIENCE = timedelta(minutes=30)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """Where the workers of a group find each other.

    Attributes:
        store: what they find there.
        address: of worker 0's machine, as the others reach it.
        port: on which worker 0 listens.
        size: number of workers.
    """

    store: Store
    address: str
    port: int
    size: int

    @staticmethod
    def call(address: str, size: int) -> "Meeting":
        """Worker 0's: it listens on a free port."""
        store = TCPStore(address, 0, size, is_master=True, timeout=_PATIENCE, wait_for_workers=False)
        return Meeting(store=store, address=address, port=store.port, size=size)

    @staticmethod
    def find(address: str, port: int, size: int) -> "Meeting":
        """The one that worker 0 called."""
        store = TCPStore(address, port, size, is_master=False, timeout=_PATIENCE)
        return Meeting(store=store, address=address, port=port, size=size)

    @contextmanager
    def attend(self, rank: int, device: torch.device) -> Iterator[World]:
        """Be worker `rank`, from the moment that all are there until the block ends."""
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=self.store, rank=rank, world_size=self.size, timeout=_PATIENCE)
        try:
            yield World.current(device)
        finally:
            dist.destroy_process_group()


def is_lost_contact(error: Exception) -> bool:
    """Whether this is what gloo or NCCL say when another worker is gone; gloo's errors have no type of their own."""
    return isinstance(error, dist.DistError) or (type(error) is RuntimeError and "gloo" in str(error))
