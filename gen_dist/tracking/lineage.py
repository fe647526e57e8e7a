"""Where a run comes from: the commit, the libraries, the phases; and names and values as MLflow takes them."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from gen_dist.learner import Learner

MAX_NAME = 250
MAX_PARAM = 6000
MAX_TAG = 8000
_LIBRARIES = ("gen-dist", "torch", "ray", "mlflow", "numpy", "pyarrow", "optuna", "safetensors")
_NOT_IN_NAMES = re.compile(r"[^\w.\- /]", re.ASCII)


def lineage_tags() -> dict[str, str]:
    """Commit, versions and machine. Nothing comes from the environment variables, where secrets live."""
    tags = {f"gen_dist.version.{name}": version for name in _LIBRARIES if (version := _version(name))}
    tags["gen_dist.version.python"] = platform.python_version()
    tags["gen_dist.platform"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} logical CPUs"
    package = Path(__file__).parent
    for folder in (package, Path.cwd()):
        commit = _git(folder, "rev-parse", "HEAD")
        if commit:
            tags["mlflow.source.git.commit"] = commit
            changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
            tags["gen_dist.git_changed"] = "yes" if changed else "no"
            break
    return tags


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str:
    program = shutil.which("git")
    if program is None:
        return ""
    try:
        answer = subprocess.run(  # noqa: S603  fixed words, no shell
            [program, *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def describe_phases(learner: Learner) -> str:
    """What one training round does, as text for people."""
    lines = ["Players"]
    for name, player in learner.players.items():
        count = sum(parameter.numel() for parameter in player.module.parameters())
        average = "" if player.ema_decay is None else f", EMA {player.ema_decay:g}"
        lines.append(f"  {name}: {type(player.module).__name__}, {count:,} parameters, {player.optimizer}{average}")
    lines.append("Phases of one round")
    for phase in learner.phases:
        repeats = _repeats(phase.repeats)
        every = "" if phase.every == 1 else f", every {phase.every} rounds"
        lines.append(f"  {phase.name}: moves {phase.player}, {repeats}{every}")
    return "\n".join(lines) + "\n"


def _repeats(repeats: int | Callable[..., int]) -> str:
    if not isinstance(repeats, int):
        return "repeats by schedule"
    return "1 step" if repeats == 1 else f"{repeats} steps, each on a fresh batch"


def metric_name(name: str) -> str:
    """A name as MLflow takes it: what it doesn't allow becomes an underscore."""
    clean = _NOT_IN_NAMES.sub("_", name)
    return clean if len(clean) <= MAX_NAME else f"{clean[: MAX_NAME - 9]}_{_digest(name)}"


def fit(value: str, limit: int) -> str:
    """A value of at most `limit` characters. A longer one says how long it was and which, so that two differ."""
    if len(value) <= limit:
        return value
    ending = f"... [{len(value)} characters, sha256 {_digest(value)}]"
    return value[: limit - len(ending)] + ending


def too_long(values: Mapping[str, str], limit: int) -> dict[str, str]:
    """The values that `fit` would shorten."""
    return {name: value for name, value in values.items() if len(value) > limit}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
