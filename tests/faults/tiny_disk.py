"""A disk of a few megabytes that can really be full, without being root."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# A file system that only this process's name space knows; others reach it by /proc as long as the process lives.
MOUNT = 'mount -t tmpfs -o size="$1",mode=700 gen-dist-faults "$2" && echo mounted && cat >/dev/null'


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
    """The disk; the test is skipped where the system lets users make none."""
    if shutil.which("unshare") is None:
        pytest.skip("a small disk needs unshare (util-linux)")
    mount_point.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"]
    process = subprocess.Popen(
        [*command, str(size_bytes), str(mount_point)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:  # its pipes close with the block, which ends it
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "mounted\n":
            pytest.skip(f"this system lets users mount no small disk: {process.stderr.read().strip()}")
        folder = Path(f"/proc/{process.pid}/root{mount_point}")
        assert folder.stat().st_dev != mount_point.stat().st_dev, "the disk is not seen from outside"
        yield TinyDisk(folder)
