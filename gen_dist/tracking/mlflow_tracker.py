"""The tracker that delivers to MLflow, through a durable spool and a thread, so that training never waits for it."""

import io
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from PIL import Image

from gen_dist.tracking.carrier import Carrier, LocalCarrier, describe
from gen_dist.tracking.courier import Store
from gen_dist.tracking.courier_process import RemoteCarrier
from gen_dist.tracking.delivery import DeliveryThread
from gen_dist.tracking.journal import Journal, Record
from gen_dist.tracking.ledger import remembered_run_id
from gen_dist.tracking.lineage import MAX_PARAM, MAX_TAG, fit, lineage_tags, metric_name, too_long
from gen_dist.tracking.location import redact, store_uri
from gen_dist.tracking.spool import RunIdentity, Spool, find_spools
from gen_dist.tracking.system_metrics import SystemMetrics
from gen_dist.tracking.tracker import Backlog, DatasetRecord, RunStatus

_log = logging.getLogger(__name__)


class MLflowTracker:
    """A `Tracker` whose run is found again, in MLflow and on disk, after any restart.

    Example:
        tracker = MLflowTracker(RunIdentity(name="digits-1", parent="study-1"), Path("runs/digits-1/tracking"))
        tracker.start()
        tracker.log_metrics(step=640, metrics={"critic/loss": 0.7})
        print(tracker.finish())
    """

    def __init__(
        self,
        identity: RunIdentity,
        folder: Path,
        *,
        tracking_uri: str | None = None,
        deliver_every_seconds: float = 5.0,
        system_metrics_every_seconds: float | None = 10.0,
        leftovers: Path | None = None,
        connect: Callable[[str], Store] | None = None,
    ) -> None:
        """Prepare; nothing is written before `start`.

        Args:
            identity: which run this is.
            folder: the run's local folder for its spool; keep it, it remembers what was delivered.
            tracking_uri: MLflow's store; None means `MLFLOW_TRACKING_URI` or `mlflow.db` in the working folder.
            deliver_every_seconds: time between batches.
            system_metrics_every_seconds: time between looks at CPU, memory and GPU, or None for none.
            leftovers: a folder of runs; what earlier ones could not deliver is delivered after this run's first batch.
            connect: makes the store of an URI, and has the delivery done in this process; None has MLflow's client in
                the courier process.
        """
        uri = store_uri(tracking_uri)
        self._identity = identity
        self._uri = uri
        self._spool = Spool(folder)
        make_carrier = partial(_carrier, uri=uri, connect=connect)
        self._delivery = DeliveryThread(
            make_carrier(self._spool),
            folder,
            deliver_every_seconds,
            lambda: _deliver_leftovers(leftovers, self._spool, make_carrier),
        )
        self._system: SystemMetrics | None = None
        if system_metrics_every_seconds is not None:
            self._system = SystemMetrics(self.log_metrics, system_metrics_every_seconds, folder)
        self._journal: Journal | None = None

    def start(self) -> None:
        """Begin the run, or go on with it after a restart.

        Raises:
            ValueError: the folder belongs to another run.
        """
        self._spool.claim(self._identity, redact(self._uri))
        self._journal = Journal(self._spool.journal_path)
        self._append({"kind": "status", "status": "RUNNING", "time_ms": _now_ms()})
        self.set_tags(lineage_tags())
        self._delivery.start()
        if self._system is not None:
            self._system.start()

    def log_params(self, params: Mapping[str, object]) -> None:
        """Settings of the run; the first value of a name stays. A value that is too long is an artifact as well."""
        values = {metric_name(name): str(value) for name, value in params.items()}
        self._append({"kind": "params", "values": {name: fit(value, MAX_PARAM) for name, value in values.items()}})
        for name, value in too_long(values, MAX_PARAM).items():
            self.log_text(value, f"parameters/{name.replace('/', '_')}.txt")

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metric values at one step (images seen); the first value of a (name, step) pair stays."""
        values = {metric_name(name): float(value) for name, value in metrics.items()}
        self._append({"kind": "metrics", "step": int(step), "time_ms": _now_ms(), "values": values})

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """A file, copied before the call returns; a second one of the same name and folder replaces the first."""
        self._keep(path.name, lambda: self._spool.keep_artifact(path, folder))

    def log_image(self, image: Image.Image, name: str) -> None:
        """A picture as a PNG artifact; `name` is its path inside the run ("samples/000200.png")."""
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        self._keep(name, lambda: self._spool.keep_bytes(buffer.getvalue(), name))

    def log_text(self, text: str, name: str) -> None:
        """A text artifact; `name` is its path inside the run."""
        self._keep(name, lambda: self._spool.keep_bytes(text.encode(), name))

    def log_dataset(self, dataset: DatasetRecord) -> None:
        """The data that the run has seen; MLflow cuts its digest to 36 characters, the tag has all of it."""
        self._append({"kind": "dataset", "dataset": asdict(replace(dataset, uri=redact(dataset.uri)))})
        self.set_tags({f"gen_dist.dataset.{dataset.context}": f"{dataset.name} {dataset.digest}"})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Labels of the run; the last value of a name stays."""
        values = {metric_name(name): fit(str(value), MAX_TAG) for name, value in tags.items()}
        self._append({"kind": "tags", "values": values})

    def flush(self) -> None:
        """Return when everything logged so far would survive a power failure; call it before a checkpoint."""
        self._spool.sync_artifacts()
        self._open_journal().sync()

    def deliver(self, timeout_seconds: float = 30.0) -> Backlog:
        """Wait until all that was logged so far is delivered, up to the limit; says what is left."""
        return self._backlog(self._delivery.deliver_now(timeout_seconds), timeout_seconds)

    def run_id(self) -> str | None:
        """The run's id in MLflow, or None while MLflow has not answered yet."""
        return remembered_run_id(self._spool.ledger_path)

    def finish(self, status: RunStatus = "FINISHED", timeout_seconds: float = 30.0) -> Backlog:
        """End the run, wait for delivery up to the limit, and say what is left (also as a logged warning)."""
        self._open_journal()
        if self._system is not None:
            self._system.stop()
        self._append({"kind": "status", "status": status, "time_ms": _now_ms()})
        self._open_journal().sync()
        delivered = self._delivery.deliver_now(timeout_seconds)
        self._delivery.stop(timeout_seconds=5.0 if delivered else 0.0)
        self._open_journal().close()
        self._journal = None
        backlog = self._backlog(delivered, timeout_seconds)
        if backlog.num_waiting or backlog.refused:
            _log.warning("%s", backlog)
        return backlog

    def _backlog(self, delivered: bool, timeout_seconds: float) -> Backlog:
        reason = None if delivered else self._delivery.failure or f"no answer within {timeout_seconds:g} s"
        return self._spool.backlog(reason)

    def _keep(self, name: str, copy: Callable[[], Record]) -> None:
        """An artifact, or a warning: a disk that has no room for a picture is no reason to end a training."""
        self._open_journal()
        try:
            record = copy()
        except FileNotFoundError:
            raise  # the caller's mistake
        except OSError as error:
            _log.warning("MLflow will not get %s: %s: %s", name, self._spool.folder, error.strerror or error)
            return
        self._append(record)

    def _append(self, record: Mapping[str, object]) -> None:
        self._open_journal().append(record)

    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise ValueError(
                f"run {self._identity.name!r} is not being tracked: call start() first, and nothing after finish()"
            )
        return self._journal


def deliver_spool(folder: Path, tracking_uri: str | None = None) -> list[Backlog]:
    """Deliver every spool at or below a folder, studies before trials; returns what is left of each.

    Args:
        folder: a spool, a run's folder or a folder of runs.
        tracking_uri: MLflow's store; None means `MLFLOW_TRACKING_URI`, else the store that the run was started with.

    Raises:
        ValueError: there is no spool.
    """
    spools = find_spools(folder)
    if not spools:
        raise ValueError(f"there is nothing to deliver in {folder}: it holds no tracking spool")
    given = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    return [_deliver(spool, RemoteCarrier(spool, store_uri(given or spool.store_uri()))) for spool in spools]


def _carrier(spool: Spool, *, uri: str, connect: Callable[[str], Store] | None) -> Carrier:
    return RemoteCarrier(spool, uri) if connect is None else LocalCarrier(spool, partial(connect, uri))


def _deliver(spool: Spool, carrier: Carrier) -> Backlog:
    reason = None
    try:
        with closing(carrier):
            carrier.deliver()
    except (OSError, ValueError) as error:
        reason = describe(error)
    return spool.backlog(reason)


def _deliver_leftovers(runs: Path | None, own: Spool, make_carrier: Callable[[Spool], Carrier]) -> None:
    """Deliver what other runs have left for the same store; one that lives delivers itself and is passed over."""
    for spool in find_spools(runs) if runs is not None else []:
        if spool.folder != own.folder and spool.store_uri() == own.store_uri() and spool.backlog().num_waiting:
            _deliver(spool, make_carrier(spool))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
