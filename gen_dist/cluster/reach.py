"""Whether a Ray cluster can be reached, of which version it is, and by which token: asked without joining it here.

Ray ends the process that joins with a wrong setting, so a process of its own tries.
"""

import json
import os
import secrets
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final
from urllib.parse import urlsplit

import ray

CONNECT_SECONDS = 3.0
JOIN_SECONDS = 45.0
MODE_VARIABLE = "RAY_AUTH_MODE"
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"  # noqa: S105  a name
PATH_VARIABLE = "RAY_AUTH_TOKEN_PATH"
DEFAULT_PATH = "~/.ray/auth_token"
TOKEN_BYTES = 32

_TRY = """
import json, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
nodes = [node for node in ray.nodes() if node["Alive"]]
resources = ray.cluster_resources()
print("answer:" + json.dumps([len(nodes), resources.get("CPU", 0), resources.get("GPU", 0)]))
"""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TokenState:
    """How this machine would identify itself to a cluster. The token itself is not in it.

    Attributes:
        mode: RAY_AUTH_MODE, or "" when it is not set.
        source: where the token comes from: a variable's name or a path; "" without any.
        problem: why the token can't be used, or "".
        readable_by_others: whether its file can be read by other users of the machine.
    """

    mode: str
    source: str
    problem: Literal["", "missing", "unreadable", "empty"]
    readable_by_others: bool = False


def token_state(environment: Mapping[str, str]) -> TokenState:
    """Look for the token where Ray does, in Ray's order: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token."""
    mode = environment.get(MODE_VARIABLE, "")
    if environment.get(TOKEN_VARIABLE):
        blank = not environment[TOKEN_VARIABLE].strip()
        return TokenState(mode=mode, source=TOKEN_VARIABLE, problem="empty" if blank else "")
    named = environment.get(PATH_VARIABLE)
    path = Path(named or DEFAULT_PATH).expanduser()
    if not named and not path.exists():
        return TokenState(mode=mode, source="", problem="missing")
    try:
        content, bits = path.read_text(), path.stat().st_mode
    except (OSError, UnicodeDecodeError):
        return TokenState(mode=mode, source=str(path), problem="unreadable")
    others = bool(bits & (stat.S_IRGRP | stat.S_IROTH))
    return TokenState(
        mode=mode, source=str(path), problem="" if content.strip() else "empty", readable_by_others=others
    )


def make_token(environment: Mapping[str, str]) -> None:
    """Where there is no token yet, make one in Ray's default place, for its owner's eyes alone.

    Ray makes one there by itself, which the other users of the machine can read.
    """
    state = token_state(environment)
    if state.source or state.mode == "disabled":
        return
    path = Path(DEFAULT_PATH).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, whole = tempfile.mkstemp(dir=path.parent)  # readable by its owner alone, as mkstemp makes files
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(TOKEN_BYTES))
    # Another process may be faster (nobody sees half of either), or the disk knows no links: then Ray makes its own.
    with suppress(OSError):
        os.link(whole, path)
    Path(whole).unlink()


def ray_version() -> str:
    """Of the client."""
    return str(ray.__version__)


def reach(address: str) -> str:
    """Join a cluster from a process of its own, and leave it again.

    Args:
        address: as RAY_ADDRESS has it, "host:port" or "ray://host:port".

    Returns:
        What the cluster offers, for people.

    Raises:
        ConnectionError: nobody listens there, or who listens refuses; the message says what to do.
    """
    if address not in ("auto", "local"):
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or port is None:
            raise ConnectionError(f"{address!r} is no address: write RAY_ADDRESS=host:6379")
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
        except OSError as error:
            raise ConnectionError(
                f"nobody answers at {address} ({error.strerror or error}): is the cluster up, is it the head's port?"
            ) from error
    return _join(address)


def _join(address: str) -> str:
    command = [sys.executable, "-c", _TRY, address]
    try:
        tried = subprocess.run(  # noqa: S603  our own interpreter, no shell
            command,
            capture_output=True,
            text=True,
            timeout=JOIN_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        )
    except subprocess.TimeoutExpired as error:
        raise ConnectionError(
            f"{address} accepts connections and lets nobody join within {JOIN_SECONDS:g} s: another token, another "
            "Ray, or no Ray"
        ) from error
    for line in tried.stdout.splitlines():
        if line.startswith("answer:"):
            nodes, cpus, gpus = json.loads(line.removeprefix("answer:"))
            return f"{nodes} node{'s' if nodes != 1 else ''}, {cpus:g} CPUs, {gpus:g} GPUs"
    raise ConnectionError(f"{address} refuses: {_cause(tried.stderr)}")


def _cause(errors: str) -> str:
    lowered = errors.lower()
    if "auth" in lowered and ("token" in lowered or "unauthenticated" in lowered):
        return "it wants another token, or one at all: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH as on the head"
    if "version mismatch" in lowered:
        return f"it runs another Ray or Python than this one (Ray {ray.__version__}): install requirements.lock on both"
    last = [line for line in errors.splitlines() if line.strip()]
    return last[-1][:200] if last else "Ray said nothing"
