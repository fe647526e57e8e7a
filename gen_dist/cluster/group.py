"""The workers of one trial: processes in the placement group that Ray reserves for the trial as a whole.

Ray Train would reserve a second group from inside the trial, and trials that hold the first while they wait for the
second can wait for ever (see docs/decisions/0010-workers-of-a-trial.md).
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
import ray.util
import torch
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from gen_dist.data.errors import StorageError
from gen_dist.distributed.meeting import Meeting, is_lost_contact
from gen_dist.distributed.world import World
from gen_dist.training.checkpointing import UnwrittenError

Follow = Callable[[str, World], None]
_LAST_WORDS_SECONDS = 2.0


class LostWorkerError(RuntimeError):
    """A process or a node was lost: no fault of what was being trained, which may go on from its checkpoint."""


INTERRUPTIONS = (LostWorkerError, StorageError, UnwrittenError, OSError)
"""What ends a training that is worth starting again: the next time, there may be another node, or the store again."""


@contextmanager
def together(follow: Follow, argument: str) -> Iterator[World]:
    """Be worker 0 of as many as the placement group of this process has bundles; the block is its part.

    The other workers are there when the block begins, and ended when it is left, however that happens.

    Args:
        follow: the part of every other worker, a function of a module.
        argument: handed to it.

    Raises:
        LostWorkerError: another worker died, or could not reach its files.
        RuntimeError: another worker failed, with its cause.
    """
    device, group = _settle_in(), ray.util.get_current_placement_group()
    size = 1 if group is None else group.bundle_count
    if size == 1:
        yield World(device=device)
        return
    meeting = Meeting.call(ray.util.get_node_ip_address(), size)
    others = []
    for rank in range(1, size):
        bundle = group.bundle_specs[rank]
        remote = ray.remote(_attend).options(
            num_cpus=bundle.get("CPU", 0.0),
            num_gpus=bundle.get("GPU", 0.0),
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, rank),
            max_retries=0,
        )
        others.append(remote.remote(follow, argument, rank, meeting.address, meeting.port, size))
    try:
        with meeting.attend(0, device) as world:
            yield world
        ray.get(others)
    except (RuntimeError, ray.exceptions.RayError) as error:
        if isinstance(error, ray.exceptions.RayError) or is_lost_contact(error):
            raise _cause(others, error) from error
        raise
    finally:
        for other in others:
            ray.cancel(other, force=True)


def _attend(follow: Follow, argument: str, rank: int, address: str, port: int, size: int) -> None:
    """What runs in the process of another worker."""
    device = _settle_in()
    with Meeting.find(address, port, size).attend(rank, device) as world:
        follow(argument, world)


def _cause(others: list[ray.ObjectRef], seen: Exception) -> RuntimeError:
    """Why another worker ended: what worker 0 sees of it is a closed connection, and so do those that still live."""
    ended, _ = ray.wait(others, num_returns=len(others), timeout=_LAST_WORDS_SECONDS)
    for other in ended:
        try:
            ray.get(other)
        except ray.exceptions.RayTaskError as error:
            if not is_lost_contact(error.cause):
                kind = LostWorkerError if isinstance(error.cause, INTERRUPTIONS) else RuntimeError
                return kind(f"worker {others.index(other) + 1} of {len(others) + 1}: {last_line(error)}")
        except ray.exceptions.RayError as error:
            return LostWorkerError(f"worker {others.index(other) + 1} of {len(others) + 1}: {last_line(error)}")
    return LostWorkerError(f"lost contact with another worker: {last_line(seen)}")


def last_line(error: Exception) -> str:
    """What people need of an error of Ray's, whose text may hold a whole traceback."""
    return str(error).strip().splitlines()[-1]


def _settle_in() -> torch.device:
    """As many threads as this worker has CPUs, no line in the log for every pointer that Ray stores; the device."""
    assigned = ray.get_runtime_context().get_assigned_resources()
    torch.set_num_threads(max(1, int(assigned.get("CPU", 1))))
    logging.getLogger("ray").setLevel(logging.WARNING)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
