"""A program together with all that it starts, however deep: seen as one, ended as one, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

# Orphans of whatever runs below become this wrapper's children (prctl's PR_SET_CHILD_SUBREAPER), so that it knows them
# all. It ends them when its standard input closes, which it does at the latest when the tests end.
WRAPPER = """
import ctypes, os, signal, subprocess, sys, threading, time
import psutil

assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
signal.signal(signal.SIGINT, signal.SIG_IGN)
subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
print("started", flush=True)


def reap():
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.05)


threading.Thread(target=reap, daemon=True).start()
sys.stdin.read()
while children := psutil.Process().children(recursive=True):
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            pass
    time.sleep(0.02)
"""
END_SECONDS = 60.0


class Kept:
    """The running program.

    Args:
        command: what is run.
        environment: of it and of all that it starts.
        log: file that gets what they print.
        folder: where they run.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path, folder: Path) -> None:
        with log.open("ab") as output:
            self._wrapper = subprocess.Popen(
                [sys.executable, "-c", WRAPPER, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )
        assert self._wrapper.stdout is not None
        with self._wrapper.stdout as answer:
            assert answer.readline() == b"started\n", f"{command[0]} did not start: {log.read_text()}"

    def processes(self) -> list[psutil.Process]:
        """All that lives of it, parents before children."""
        try:
            return psutil.Process(self._wrapper.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """To every process of it."""
        for process in self.processes():
            process.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM to the program itself, as an orderly machine sends it when it goes down."""
        os.kill(self.processes()[0].pid, signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Until nothing of it is left; an error when the time is over."""
        deadline = time.monotonic() + seconds
        while self.processes():
            assert time.monotonic() < deadline, f"still there: {describe(self.processes())}"
            time.sleep(0.05)  # between two looks at processes that are ending

    def kill(self) -> None:
        """At once and altogether, as when a machine loses its power."""
        assert self._wrapper.stdin is not None
        if not self._wrapper.stdin.closed:
            self._wrapper.stdin.close()
        self._wrapper.wait(timeout=END_SECONDS)


def describe(processes: Sequence[psutil.Process]) -> str:
    """Their command lines."""
    lines = []
    for process in processes:
        try:
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:160]}")
        except psutil.NoSuchProcess:
            continue
    return "\n".join(lines)
