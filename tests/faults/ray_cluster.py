"""A Ray cluster of several nodes on this machine: real raylets, started by `ray start`, with token authentication.

Each node is what a machine would be, with processes, environment and cache of its own. They share the loopback address.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
from kept import Kept
from mlflow_server import free_port

BIN = Path(sys.executable).parent
RAY = str(BIN / "ray")
OBJECT_STORE_BYTES = 100 << 20
PATIENCE_SECONDS = 300.0
DRAIN_SECONDS = 30


class RayNode:
    """One node.

    Attributes:
        name: as Ray calls it.
        kept: its processes.
        cache: what stands for its own disk.
        log: what `ray start` has printed.
    """

    def __init__(self, name: str, kept: Kept, cache: Path, log: Path) -> None:
        self.name, self.kept, self.cache, self.log = name, kept, cache, log

    def processes(self, what: str) -> list[psutil.Process]:
        """Those whose command line or title holds this text, outermost first."""
        return [process for process in self.kept.processes() if what in title(process)]

    def titles(self) -> list[str]:
        """Command lines of all its processes, or the titles that they gave themselves."""
        return [title(process) for process in self.kept.processes()]

    def raylet(self) -> psutil.Process:
        (found,) = [process for process in self.kept.processes() if process.name() == "raylet"]
        return found


class RayCluster:
    """A head without processors and workers with one each, as in infra/compose.yaml.

    Args:
        environment: of every node, beside Ray's own: where S3 and MLflow are, and credentials.
        workers: how many nodes join the head.
        redis: "host:port" of a Redis in which the head keeps its memory, or None.
    """

    def __init__(self, environment: Mapping[str, str], *, workers: int = 2, redis: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gd-ray-", dir="/tmp"))  # short: Ray's sockets lie in it
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self._token = token.read_text()
        self.port, self.dashboard_port = free_port(), free_port()
        self.dashboard = f"http://127.0.0.1:{self.dashboard_port}"
        self.client: dict[str, str] = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_API_SERVER_ADDRESS": self.dashboard,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._environment = {
            **inherited,
            **{name: value for name, value in self.client.items() if name != "RAY_API_SERVER_ADDRESS"},
            # Without it, parts of Ray Train look for any cluster on this machine, and fail when there are several.
            "RAY_ADDRESS": f"127.0.0.1:{self.port}",
            "RAY_worker_niceness": "0",  # 15 is Ray's default: on a busy machine, workers would hardly ever run
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(DRAIN_SECONDS),
            "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
            **environment,
        }
        if redis is not None:
            self._environment |= {"RAY_REDIS_ADDRESS": redis}
        self.services = environment
        self._started: list[RayNode] = []
        try:
            self.head = self.start_head()
            self.workers = self.add_workers(workers)
        except BaseException:
            self.stop()
            raise

    def start_head(self) -> RayNode:
        """The head, anew if there was one."""
        options = ["--head", f"--port={self.port}", "--num-cpus=0"]
        options += ["--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard_port}"]
        options += ["--include-dashboard=true", f"--ray-client-server-port={free_port()}"]
        self.head = self._start(options)
        self._wait_for_node(self.head)
        return self.head

    def add_workers(self, number: int) -> list[RayNode]:
        """More nodes, with one processor each."""
        nodes = []
        for _ in range(number):  # one by one: on one machine, two that start at once may choose the same socket
            node = self._start([f"--address=127.0.0.1:{self.port}", "--num-cpus=1"])
            self._wait_for_node(node)
            nodes.append(node)
        return nodes

    def _start(self, options: list[str]) -> RayNode:
        name = f"node-{len(self._started)}"
        cache = self.folder / name
        cache.mkdir()
        command = [RAY, "start", "--block", f"--node-name={name}", "--disable-usage-stats", *options]
        command += [f"--object-store-memory={OBJECT_STORE_BYTES}", f"--dashboard-agent-listen-port={free_port()}"]
        # Nodes that share one share the copy of a job's folder, which each makes anew: the driver would lose its own.
        command.append(f"--temp-dir={self.folder / 'ray' / str(len(self._started))}")
        environment = self._environment | {"GEN_DIST_CACHE": str(cache)}
        log = self.folder / f"{name}.log"
        node = RayNode(name, Kept(command, environment=environment, log=log, folder=cache), cache, log)
        self._started.append(node)
        return node

    def _wait_for_node(self, node: RayNode) -> None:
        def joined() -> bool:
            assert node.kept.processes(), f"`ray start` ended:\n{node.log.read_text()}"
            return node.name in self.alive()

        wait_for(joined, f"{node.name} to join; logs in {self.folder}")

    def ask(self, path: str) -> Any:
        """What the dashboard answers, with the token."""
        request = urllib.request.Request(self.dashboard + path, headers={"Authorization": f"Bearer {self._token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def alive(self) -> dict[str, str]:
        """Ray's ids of the living nodes, by name; none while the head does not answer."""
        try:
            nodes = self.ask("/nodes?view=summary")["data"]["summary"]
        except (urllib.error.URLError, OSError):
            return {}
        raylets = [node["raylet"] for node in nodes]
        return {raylet["nodeName"]: raylet["nodeId"] for raylet in raylets if raylet.get("state") == "ALIVE"}

    def replace(self, lost: RayNode) -> RayNode:
        """A new node in the place of one that is gone."""
        lost.kept.kill()
        (fresh,) = self.add_workers(1)
        self.workers[self.workers.index(lost)] = fresh
        return fresh

    def restart(self) -> None:
        """Whatever is left of it ends, and a new cluster starts at the same address."""
        number = len(self.workers)
        for node in self.nodes:
            node.kept.kill()
        self.start_head()
        self.workers = self.add_workers(number)

    @property
    def nodes(self) -> list[RayNode]:
        return [self.head, *self.workers]

    def processes(self, what: str) -> list[psutil.Process]:
        """Of all nodes, those whose command line or title holds this text."""
        return [process for node in self.nodes for process in node.processes(what)]

    def stop(self) -> None:
        """End every process that was started, and leave no file."""
        for node in reversed(self._started):
            node.kept.kill()
        shutil.rmtree(self.folder)


def title(process: psutil.Process) -> str:
    """Its command line; Ray's workers write there what they are."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Poll until something is there, the pause only spares the processor; returns how many seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.1)
    return time.monotonic() - began
