"""Brings MLflow up to date with a spool, so that each point arrives exactly once whatever fails in between."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from gen_dist.tracking.ledger import Errand, Ledger, Point, Setting, SettingKind, State
from gen_dist.tracking.spool import RunIdentity, Spool
from gen_dist.tracking.tracker import DatasetRecord, RunStatus

POINTS_PER_BATCH = 1000  # MLflow's limit
SETTINGS_PER_BATCH = 20  # 20 of the longest values, escaped, stay under MLflow's 1 MB per request

RunState = Literal["active", "deleted", "absent"]


class UnavailableError(ConnectionError):
    """The store can't be reached or can't answer now. Whether it did what was asked is unknown."""


class RefusedError(ValueError):
    """The store answered that it will not take this."""


@runtime_checkable
class Store(Protocol):
    """What the courier asks of MLflow. Every method raises `UnavailableError` or `RefusedError` on failure."""

    def find_runs(self, identity: RunIdentity) -> list[str]:
        """Ids of the active runs of that name in the experiment, oldest first."""
        ...

    def create_run(self, identity: RunIdentity, parent_id: str | None, time_ms: int) -> str:
        """Id of a new run."""
        ...

    def delete_if_empty(self, run_id: str) -> None:
        """Remove a run that has neither parameters nor metrics."""
        ...

    def run_state(self, run_id: str) -> RunState:
        """Whether the run is there."""
        ...

    def param_names(self, run_id: str) -> Collection[str]:
        """Names of the parameters that the run has."""
        ...

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add metric points."""
        ...

    def send_settings(self, run_id: str, kind: SettingKind, values: Mapping[str, str]) -> None:
        """Set parameters or tags."""
        ...

    def history(self, run_id: str, key: str) -> Collection[int]:
        """The steps at which the run has a value of a metric."""
        ...

    def upload(self, run_id: str, path: Path, name: str, folder: str) -> None:
        """Store a file under folder/name."""
        ...

    def log_dataset(self, run_id: str, dataset: DatasetRecord) -> None:
        """Attach a data set."""
        ...

    def set_status(self, run_id: str, status: RunStatus, time_ms: int) -> None:
        """Change the run's status; a final one ends it at that time."""
        ...


class Courier:
    """Delivers one spool to one store. `deliver` may be called again at any time, by a later process too."""

    def __init__(self, spool: Spool, ledger: Ledger, store: Store) -> None:
        self._spool = spool
        self._identity = spool.identity()
        self._ledger = ledger
        self._store = store
        self._verified_run: str | None = None

    def deliver(self) -> None:
        """Send all that waits.

        Raises:
            UnavailableError: something could not be sent now; what was sent before it stays sent.
        """
        self._ledger.absorb(self._spool.journal_path)
        run_id = self._run_id()
        for kind in ("param", "tag"):
            self._send_settings(run_id, kind)
        self._resolve_doubts(run_id)
        while points := self._ledger.points(State.WAITING, POINTS_PER_BATCH):
            self._send_points(run_id, points)
        for errand in self._ledger.errands():
            self._run_errand(run_id, errand)
        self._send_status(run_id)

    def _run_id(self) -> str:
        run_id = self._ledger.fact("run_id")
        if run_id is None:
            run_id = self._find_or_create()
        elif run_id != self._verified_run:
            run_id = self._verify(run_id)
        self._verified_run = run_id
        return run_id

    def _verify(self, run_id: str) -> str:
        """The run may have been erased since, or this may be another store than last time."""
        if self._require_active(run_id):
            return run_id
        self._ledger.forget_deliveries()
        return self._find_or_create()

    def _require_active(self, run_id: str) -> bool:
        state = self._store.run_state(run_id)
        if state == "deleted":
            raise UnavailableError(
                f"run {run_id} ({self._identity.name}) was deleted in MLflow; `mlflow runs restore --run-id {run_id}` "
                "brings it back"
            )
        return state == "active"

    def _find_or_create(self) -> str:
        found = self._store.find_runs(self._identity)
        if found:
            self._adopt(found[0])
            return found[0]
        parent_id = self._parent_id()
        # should the answer be lost, a run that nobody knows may come into being: _remove_twins looks for it at the end
        self._ledger.remember(created="here")
        run_id = self._store.create_run(self._identity, parent_id, int(self._ledger.fact("started_ms") or 0))
        self._ledger.remember(run_id=run_id)
        return run_id

    def _adopt(self, run_id: str) -> None:
        """The run exists and this ledger did not feed it: what is there must be asked for before anything is sent."""
        present = set(self._store.param_names(run_id))
        settings = [s for s in self._ledger.settings("param") if s.key in present]
        self._ledger.mark_settings(settings, State.DELIVERED)
        self._ledger.remember(run_id=run_id, adopted="yes")

    def _parent_id(self) -> str | None:
        if self._identity.parent is None:
            return None
        parent = RunIdentity(name=self._identity.parent, experiment=self._identity.experiment)
        found = self._store.find_runs(parent)
        if not found:
            raise UnavailableError(f"the parent run {parent.name!r} is not in MLflow yet; it has to arrive first")
        return found[0]

    def _send_settings(self, run_id: str, kind: SettingKind) -> None:
        while settings := self._ledger.settings(kind, SETTINGS_PER_BATCH):
            for part in self._accepted(run_id, settings, kind):
                self._ledger.mark_settings(part, State.DELIVERED)

    def _accepted(self, run_id: str, settings: Sequence[Setting], kind: SettingKind) -> list[Sequence[Setting]]:
        try:
            self._store.send_settings(run_id, kind, {setting.key: setting.value for setting in settings})
        except RefusedError as error:
            self._check_run(run_id, error)
            if len(settings) == 1:
                self._ledger.mark_settings(settings, State.REFUSED)
                self._ledger.refuse(f"{kind} {settings[0].key}: {error}")
                return []
            half = len(settings) // 2
            return [*self._accepted(run_id, settings[:half], kind), *self._accepted(run_id, settings[half:], kind)]
        return [settings]

    def _resolve_doubts(self, run_id: str) -> None:
        for key in self._ledger.unknown_keys(adopted=self._ledger.fact("adopted") is not None):
            self._ledger.reconcile(key, self._store.history(run_id, key))

    def _send_points(self, run_id: str, points: Sequence[Point]) -> None:
        self._ledger.mark_points(points, State.SENT)
        try:
            self._store.send_points(run_id, points)
        except RefusedError as error:
            self._ledger.mark_points(points, State.WAITING)
            self._check_run(run_id, error)
            if len(points) == 1:
                self._ledger.mark_points(points, State.REFUSED)
                self._ledger.refuse(f"metric {points[0].key} at step {points[0].step}: {error}")
                return
            half = len(points) // 2
            self._send_points(run_id, points[:half])
            self._send_points(run_id, points[half:])
            return
        self._ledger.mark_points(points, State.DELIVERED)

    def _check_run(self, run_id: str, error: RefusedError) -> None:
        """A refusal is about what was sent only if the run itself is well."""
        if not self._require_active(run_id):
            self._verified_run = None
            raise UnavailableError(str(error)) from error

    def _run_errand(self, run_id: str, errand: Errand) -> None:
        body = errand.body
        path = self._spool.artifact_folder / str(body.get("file"))
        try:
            if body["kind"] == "dataset":
                self._store.log_dataset(run_id, DatasetRecord(**body["dataset"]))
            elif path.exists():
                self._store.upload(run_id, path, body["name"], body["folder"])
            else:
                raise RefusedError(f"its copy {path} is gone")
        except RefusedError as error:
            self._check_run(run_id, error)
            self._ledger.mark_errand(errand, State.REFUSED)
            self._ledger.refuse(f"{body['kind']} {body.get('name', '')}: {error}")
            return
        self._ledger.mark_errand(errand, State.DELIVERED)
        path.unlink(missing_ok=True)

    def _send_status(self, run_id: str) -> None:
        for setting in self._ledger.settings("status"):
            status, time_ms = json.loads(setting.value)
            if status != "RUNNING":
                self._remove_twins(run_id)
            self._store.set_status(run_id, status, time_ms)
            self._ledger.mark_settings([setting], State.DELIVERED)

    def _remove_twins(self, run_id: str) -> None:
        """A creation whose answer was lost may have succeeded after a second one was sent; that run is empty."""
        if self._ledger.fact("created") is None:
            return
        for twin in self._store.find_runs(self._identity):
            if twin != run_id:
                self._store.delete_if_empty(twin)
