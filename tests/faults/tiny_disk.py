"""A disk of a few megabytes that can really be full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class TinyDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Take all room that is left."""
        with self._filler.open("ab", buffering=0) as file:
            while True:
                try:
                    if not file.write(bytes(4096)):
                        return
                except OSError:
                    return

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink()


@contextmanager
def tiny_disk(size_bytes: int, mount_point: Path) -> Iterator[TinyDisk]:
    """The disk; the test is skipped where the user may not mount one.

    A mount in a name space of its own needs no root, but SQLite, which resolves the links in /proc that lead there,
    does not find its files on it.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount_point.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size_bytes},mode=700"]
    mounted = subprocess.run(
        ["mount", *options, "gen-dist-faults", str(mount_point)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"this system mounts no small disk: {mounted.stderr.strip()}")
    try:
        yield TinyDisk(mount_point)
    finally:
        subprocess.run(["umount", "--lazy", str(mount_point)], check=True)
