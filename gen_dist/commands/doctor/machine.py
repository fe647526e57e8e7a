"""Checks of this machine: Python, torch, its GPUs, its disks."""

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from gen_dist.commands.doctor.finding import Finding, Question, error, ok, warning
from gen_dist.distributed.world import nccl_version

OLDEST = (3, 11)
GIGABYTE = 1e9
LITTLE_DISK_GIGABYTES = 10.0
NO_DISK_GIGABYTES = 1.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  only its free space is looked at
LITTLE_SHARED_MEMORY_GIGABYTES = 1.0


def check_python(_: Question) -> Finding:
    """Its version, and that the packages are its own."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < OLDEST:
        return error(f"{found}: gen_dist needs {OLDEST[0]}.{OLDEST[1]} or newer; make PYTHON=python3.11 setup")
    return ok(found)


def check_torch(_: Question) -> Finding:
    """Its version, CUDA, NCCL and GPUs."""
    found = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if torch.version.cuda is None:
        return ok(f"{found}, built without CUDA: it computes on CPUs")
    if not torch.cuda.is_available():
        return warning(
            f"{found}, built for CUDA {torch.version.cuda}, but it sees no GPU: look at nvidia-smi, the driver and "
            "CUDA_VISIBLE_DEVICES (of no matter on a machine without GPUs)"
        )
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    found = f"{found}, CUDA {torch.version.cuda}, {names}"
    nccl = nccl_version()
    if nccl is None:
        return warning(f"{found}, without NCCL: several GPU workers need a torch that has it")
    return ok(f"{found}, NCCL {nccl}")


def check_disk(_: Question) -> Finding:
    """Free space where runs, temporary files and Ray's shared memory go."""
    places = {str(place): _free(place) for place in (Path.cwd(), Path(tempfile.gettempdir()))}
    found = ", ".join(f"{free:.0f} GB free in {place}" for place, free in places.items())
    least = min(places, key=places.__getitem__)
    if places[least] < NO_DISK_GIGABYTES:
        return error(f"{found}: make room in {least}; a checkpoint that does not fit ends its run")
    if places[least] < LITTLE_DISK_GIGABYTES:
        return warning(f"{found}: make room in {least}, or write runs elsewhere (--runs, --studies)")
    if SHARED_MEMORY.is_dir() and _free(SHARED_MEMORY) < LITTLE_SHARED_MEMORY_GIGABYTES:
        return warning(
            f"{found}, but {_free(SHARED_MEMORY):.1f} GB in {SHARED_MEMORY}, where Ray keeps objects: a container "
            "takes more with --shm-size"
        )
    return ok(found)


def _free(place: Path) -> float:
    return shutil.disk_usage(os.fspath(place)).free / GIGABYTE
