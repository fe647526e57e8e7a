"""Randomness as a pure function of its purpose: no generator state is ever kept, so none has to be restored."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_for(*purpose: str | int) -> int:
    """A 63-bit seed for a purpose, e.g. ("noise", seed, phase, round, repeat, micro_batch)."""
    digest = hashlib.blake2b(repr(purpose).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & 0x7FFF_FFFF_FFFF_FFFF


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them after it."""
    on_cpu = torch.default_generator.get_state()
    on_gpus = torch.cuda.get_rng_state_all() if _on_cuda() else []
    seed_torch(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(on_cpu)
        if on_gpus:
            torch.cuda.set_rng_state_all(on_gpus)


def seed_torch(seed: int) -> None:
    """Seed torch's global generators.

    `torch.manual_seed` does the same, but where CUDA is not in use it records a stack trace for later: a millisecond,
    which a round would pay for every micro-batch.
    """
    torch.default_generator.manual_seed(seed)
    if _on_cuda():
        torch.cuda.manual_seed_all(seed)


def _on_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
