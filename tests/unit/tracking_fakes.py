"""A store in memory that fails on demand and, unlike a database, adds every point as often as it is sent."""

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gen_dist.tracking.courier import POINTS_PER_BATCH, RefusedError, RunState, UnavailableError
from gen_dist.tracking.ledger import Point, SettingKind
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.tracker import DatasetRecord, RunStatus


class Crash(BaseException):
    """The process dies here."""


@dataclass
class FakeRun:
    name: str
    parent_id: str | None
    started_ms: int
    state: RunState = "active"
    points: list[tuple[str, int, float]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    datasets: list[DatasetRecord] = field(default_factory=list)
    statuses: list[tuple[str, int]] = field(default_factory=list)

    def counts(self) -> Counter[tuple[str, int]]:
        return Counter((key, step) for key, step, _ in self.points)


class FakeStore:
    """`faults` maps a call's number to "lost request", "lost answer", "crash before" or "crash after"."""

    def __init__(self) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.faults: dict[int, str] = {}
        self.calls: list[str] = []
        self.refused_metrics: set[str] = set()
        self._ids = itertools.count()

    def _before(self, call: str) -> str | None:
        fault = self.faults.get(len(self.calls))
        self.calls.append(call)
        if fault == "lost request":
            raise UnavailableError("no route to MLflow")
        if fault == "crash before":
            raise Crash
        return fault

    def _after(self, fault: str | None) -> None:
        if fault == "lost answer":
            raise UnavailableError("timed out")
        if fault == "crash after":
            raise Crash

    def _run(self, run_id: str) -> FakeRun:
        run = self.runs.get(run_id)
        if run is None or run.state != "active":
            raise RefusedError(f"run {run_id} is not active")
        return run

    def find_runs(self, identity: RunIdentity) -> list[str]:
        self._after(self._before("find_runs"))
        return [key for key, run in self.runs.items() if run.name == identity.name and run.state == "active"]

    def create_run(self, identity: RunIdentity, parent_id: str | None, time_ms: int) -> str:
        fault = self._before("create_run")
        run_id = f"run-{next(self._ids)}"
        self.runs[run_id] = FakeRun(identity.name, parent_id, time_ms)
        self._after(fault)
        return run_id

    def delete_if_empty(self, run_id: str) -> None:
        fault = self._before("delete_if_empty")
        run = self._run(run_id)
        if not run.points and not run.params:
            run.state = "deleted"
        self._after(fault)

    def run_state(self, run_id: str) -> RunState:
        self._after(self._before("run_state"))
        return self.runs[run_id].state if run_id in self.runs else "absent"

    def param_names(self, run_id: str) -> Collection[str]:
        self._after(self._before("param_names"))
        return set(self._run(run_id).params)

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        fault = self._before("send_points")
        assert len(points) <= POINTS_PER_BATCH
        run = self._run(run_id)
        bad = [point.key for point in points if point.key in self.refused_metrics]
        if bad:
            raise RefusedError(f"bad metric name {bad[0]}")
        run.points += [(point.key, point.step, point.value) for point in points]
        self._after(fault)

    def send_settings(self, run_id: str, kind: SettingKind, values: Mapping[str, str]) -> None:
        fault = self._before("send_settings")
        run = self._run(run_id)
        if kind == "param":
            changed = [key for key, value in values.items() if run.params.get(key, value) != value]
            if changed:
                raise RefusedError(f"changing {changed[0]} is not allowed")
            run.params |= values
        else:
            run.tags |= values
        self._after(fault)

    def history(self, run_id: str, key: str) -> Collection[int]:
        self._after(self._before("history"))
        return {step for name, step, _ in self._run(run_id).points if name == key}

    def upload(self, run_id: str, path: Path, name: str, folder: str) -> None:
        fault = self._before("upload")
        self._run(run_id).files[f"{folder}/{name}" if folder else name] = path.read_bytes()
        self._after(fault)

    def log_dataset(self, run_id: str, dataset: DatasetRecord) -> None:
        fault = self._before("log_dataset")
        self._run(run_id).datasets.append(dataset)
        self._after(fault)

    def set_status(self, run_id: str, status: RunStatus, time_ms: int) -> None:
        fault = self._before("set_status")
        self._run(run_id).statuses.append((status, time_ms))
        self._after(fault)
