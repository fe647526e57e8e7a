"""`gen-dist doctor`: is everything there that a run needs?"""

import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, final

import tyro

from gen_dist.commands.doctor.finding import Finding, Question, Severity, error
from gen_dist.commands.secrets import without_secrets

CHECKS = "gen_dist.commands.doctor"
SECONDS = 20.0
RAY_SECONDS = 60.0


@final
@dataclass(frozen=True, slots=True)
class Check:
    """One line of the output.

    Attributes:
        name: of what is checked.
        target: "module:function" of the check. It is imported only for its turn: what is not installed is a finding.
        seconds: that it may take.
    """

    name: str
    target: str
    seconds: float = SECONDS


TABLE: tuple[Check, ...] = (
    Check("python", f"{CHECKS}.machine:check_python"),
    Check("torch", f"{CHECKS}.machine:check_torch"),
    Check("disk", f"{CHECKS}.machine:check_disk"),
    Check("ray", f"{CHECKS}.services:check_ray", RAY_SECONDS),
    Check("token", f"{CHECKS}.services:check_token"),
    Check("storage", f"{CHECKS}.storage:check_storage"),
    Check("dataset", f"{CHECKS}.storage:check_dataset"),
    Check("mlflow", f"{CHECKS}.services:check_mlflow"),
    Check("clock", f"{CHECKS}.services:check_clock"),
)


def doctor(
    *,
    data: str | None = None,
    storage: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None,
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None,
) -> None:
    """Check all that runs need, one line each: ok, warning or error, and what to do about it.

    Python, torch and GPUs, disks, Ray (RAY_ADDRESS) and its token, the object store (AWS_ENDPOINT_URL), the dataset,
    MLflow (MLFLOW_TRACKING_URI), and whether the clocks agree. No check stops another, none waits for more than
    seconds (joining a Ray cluster: a minute at the most), and nothing secret is printed.

    The exit code is the worst finding: 0 all is well, 1 there are warnings, 2 there are errors.

    Run it where runs run: on a cluster, by `ray job submit --working-dir . -- python -m gen_dist doctor`.

    Examples:
        gen-dist doctor
        gen-dist doctor --data s3://bucket/faces --storage s3://bucket/runs

    Args:
        data: dataset to open: a folder, s3://bucket/prefix or a built-in name.
        storage: folder or s3:// prefix of your runs and studies: a small file is written there, read and deleted. Where
            --data lies when left out and that is on S3.
        tracking_uri: MLflow's store; MLFLOW_TRACKING_URI or mlflow.db in this folder by default.

    Raises:
        SystemExit: with code 1 or 2, see above.
    """
    question = Question(data=data, storage=storage, tracking_uri=tracking_uri)
    findings = []
    for check in TABLE:
        finding = carry_out(check, question)
        text = without_secrets(" ".join(finding.text.split()))
        print(f"{finding.severity.name.lower():<8} {check.name:<8} {text}", flush=True)
        findings.append(finding)
    worst = max(finding.severity for finding in findings)
    if worst > Severity.OK:
        raise SystemExit(int(worst))


def carry_out(check: Check, question: Question) -> Finding:
    """What a check finds, within its time and whatever happens to it."""
    try:
        module, function = check.target.split(":")
        call: Callable[[Question], Finding] = getattr(importlib.import_module(module), function)
    except Exception as cause:  # noqa: BLE001 - a package that is missing or broken is what a doctor is for
        return error(f"can't be checked, {type(cause).__name__}: {cause}; install requirements.lock (make setup)")
    found: list[Finding] = []
    # A daemon: one that hangs must hold up neither the next check nor the end of the program.
    worker = threading.Thread(target=lambda: found.append(_guarded(call, question)), daemon=True)
    worker.start()
    worker.join(check.seconds)
    return found[0] if found else error(f"no answer within {check.seconds:g} s: is what it asks overloaded or cut off?")


def _guarded(call: Callable[[Question], Finding], question: Question) -> Finding:
    try:
        return call(question)
    except Exception as cause:  # noqa: BLE001 - one check never stops the next
        return error(f"unexpected {type(cause).__name__}: {cause}")
