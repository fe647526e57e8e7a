"""The courier's store, spoken to through MLflow's client."""

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from gen_dist.tracking.courier import RefusedError, RunState, UnavailableError
from gen_dist.tracking.database import ensure_database
from gen_dist.tracking.ledger import Point, SettingKind
from gen_dist.tracking.location import artifact_location, redact
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.tracker import DatasetRecord, RunStatus

RUN_NAME_TAG = "gen_dist.run_name"
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "RESOURCE_DOES_NOT_EXIST")
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_MAX_DIGEST = 36  # MLflow's limit, in characters


def short_message(error: MlflowException) -> str:
    """What happened, in one line and without a password: MLflow wraps a refused connection into half a page."""
    text = " ".join(str(error).split())
    return _CREDENTIALS.sub("//", text.rpartition("(Caused by ")[2])[:300]


class MLflowStore:
    """One MLflow tracking store. It touches none of MLflow's global state."""

    def __init__(self, uri: str) -> None:
        # MLflow's client would send a lost request again by itself, up to seven times over four minutes and without
        # asking what became of it. The courier knows better; what the user has set is respected.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        self._uri = uri
        self._remote = uri.startswith(("http://", "https://"))
        with self._answers():
            ensure_database(uri)
            self._client = MlflowClient(uri)

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Sort what MLflow raises into "not now" and "never"."""
        try:
            yield
        except MlflowException as error:
            # a proxy's error page comes as a plain MlflowException, the server's own answer as a RestException
            answered = isinstance(error, RestException) or not self._remote
            message = short_message(error)
            if answered and error.error_code in _REFUSALS:
                raise RefusedError(message) from error
            raise UnavailableError(f"{redact(self._uri)}: {message}") from error

    def find_runs(self, identity: RunIdentity) -> list[str]:
        """Ids of the active runs of that name in the experiment, oldest first."""
        with self._answers():
            runs: Sequence[Run] = self._client.search_runs(
                [self._experiment_id(identity.experiment)],
                f"tags.`{RUN_NAME_TAG}` = '{identity.name}'",
                order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
            )
            return [str(run.info.run_id) for run in runs]

    def _experiment_id(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        try:
            return str(self._client.create_experiment(name, artifact_location(self._uri, name)))
        except MlflowException as error:
            experiment = self._client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or experiment is None:
                raise
            return str(experiment.experiment_id)  # another process was faster

    def create_run(self, identity: RunIdentity, parent_id: str | None, time_ms: int) -> str:
        """Id of a new run."""
        tags = {RUN_NAME_TAG: identity.name}
        if parent_id is not None:
            tags["mlflow.parentRunId"] = parent_id
        with self._answers():
            experiment_id = self._experiment_id(identity.experiment)
            run = self._client.create_run(experiment_id, start_time=time_ms, tags=tags, run_name=identity.name)
            return str(run.info.run_id)

    def delete_if_empty(self, run_id: str) -> None:
        """Remove a run that has neither parameters nor metrics."""
        with self._answers():
            data = self._client.get_run(run_id).data
            if not data.metrics and not data.params:
                self._client.delete_run(run_id)

    def run_state(self, run_id: str) -> RunState:
        """Whether the run is there."""
        try:
            with self._answers():
                run = self._client.get_run(run_id)
        except RefusedError:
            return "absent"
        return "active" if run.info.lifecycle_stage == "active" else "deleted"

    def param_names(self, run_id: str) -> Collection[str]:
        """Names of the parameters that the run has."""
        with self._answers():
            return set(self._client.get_run(run_id).data.params)

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add metric points; a database adds an identical one only once, whoever sends it again."""
        metrics = [Metric(point.key, point.value, point.time_ms, point.step) for point in points]
        with self._answers():
            self._client.log_batch(run_id, metrics=metrics)

    def send_settings(self, run_id: str, kind: SettingKind, values: Mapping[str, str]) -> None:
        """Set parameters or tags."""
        with self._answers():
            if kind == "param":
                self._client.log_batch(run_id, params=[Param(key, value) for key, value in values.items()])
            else:
                self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in values.items()])

    def history(self, run_id: str, key: str) -> Collection[int]:
        """The steps at which the run has a value of a metric."""
        with self._answers():
            return {int(metric.step) for metric in self._client.get_metric_history(run_id, key)}

    def upload(self, run_id: str, path: Path, name: str, folder: str) -> None:
        """Store a file under folder/name."""
        with self._answers(), tempfile.TemporaryDirectory() as temporary:
            named = Path(temporary) / name  # MLflow takes the name from the file
            named.symlink_to(path.absolute())
            self._client.log_artifact(run_id, str(named), folder or None)

    def log_dataset(self, run_id: str, dataset: DatasetRecord) -> None:
        """Attach a data set."""
        entity = Dataset(
            name=dataset.name,
            digest=dataset.digest[:_MAX_DIGEST],
            source_type="gen_dist",
            source=redact(dataset.uri),
            profile=dataset.summary,
        )
        tags = [InputTag("mlflow.data.context", dataset.context)]
        with self._answers():
            self._client.log_inputs(run_id, [DatasetInput(entity, tags)])

    def set_status(self, run_id: str, status: RunStatus, time_ms: int) -> None:
        """Change the run's status; a final one ends it at that time."""
        with self._answers():
            if status == "RUNNING":
                self._client.update_run(run_id, status)
            else:
                self._client.set_terminated(run_id, status, time_ms)
