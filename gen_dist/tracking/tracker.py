"""What a run tells about itself, and to whom: the protocol, and the tracker that listens to nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from PIL import Image

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What a run has logged and MLflow does not have.

    Attributes:
        points: metric values that wait for delivery.
        settings: parameters, tags and the run's status that wait.
        artifacts: files and data set records that wait.
        refused: what MLflow will never take, each with its reason.
        reason: why the last attempt failed, or None.
        folder: where it all waits.
    """

    points: int = 0
    settings: int = 0
    artifacts: int = 0
    refused: tuple[str, ...] = ()
    reason: str | None = None
    folder: Path | None = None

    @property
    def num_waiting(self) -> int:
        """Everything that is still to be delivered."""
        return self.points + self.settings + self.artifacts

    def __str__(self) -> str:
        lines = []
        if self.num_waiting:
            lines.append(
                f"MLflow has not received {self.points} metric points, {self.settings} settings and "
                f"{self.artifacts} artifacts of this run"
                + (f" ({self.reason})" if self.reason else "")
                + f". They are safe in {self.folder}; deliver them with `gen-dist deliver {self.folder}`, or go on "
                "with the run, which delivers them too."
            )
        lines += [f"MLflow refused: {refusal}" for refusal in self.refused]
        return "\n".join(lines) or "everything is delivered"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRecord:
    """The data that a run has seen.

    Attributes:
        name: for people.
        digest: content hash of the data set.
        uri: where it lies; a password in it is not logged.
        context: what it was used for, say "training".
        summary: facts in JSON (rows per split, shape, classes).
    """

    name: str
    digest: str
    uri: str
    context: str = "training"
    summary: str = "{}"


@runtime_checkable
class Tracker(Protocol):
    """Where a run's history goes. No call waits for a network; rank 0 calls, the other ranks have a `NoTracker`.

    A (metric, step) pair is recorded once: a replay after a resume may log it again and adds no second point.
    """

    def start(self) -> None:
        """Begin the run, or go on with it after a restart."""
        ...

    def log_params(self, params: Mapping[str, object]) -> None:
        """Settings of the run; the first value of a name stays."""
        ...

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metric values at one step (images seen); the first value of a (name, step) pair stays."""
        ...

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """A file, copied before the call returns; a second one of the same name and folder replaces the first."""
        ...

    def log_image(self, image: Image.Image, name: str) -> None:
        """A picture as a PNG artifact; `name` is its path inside the run ("samples/000200.png")."""
        ...

    def log_text(self, text: str, name: str) -> None:
        """A text artifact; `name` is its path inside the run."""
        ...

    def log_dataset(self, dataset: DatasetRecord) -> None:
        """The data that the run has seen."""
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Labels of the run; the last value of a name stays."""
        ...

    def flush(self) -> None:
        """Return when everything logged so far would survive a power failure; call it before a checkpoint."""
        ...

    def finish(self, status: RunStatus = "FINISHED", timeout_seconds: float = 30.0) -> Backlog:
        """End the run, wait for delivery up to the limit, and say what is left."""
        ...


class NoTracker:
    """Listens to nothing: for runs without tracking and for every rank but 0."""

    def start(self) -> None:
        """Nothing."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Nothing."""

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Nothing."""

    def log_image(self, image: Image.Image, name: str) -> None:
        """Nothing."""

    def log_text(self, text: str, name: str) -> None:
        """Nothing."""

    def log_dataset(self, dataset: DatasetRecord) -> None:
        """Nothing."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def finish(self, status: RunStatus = "FINISHED", timeout_seconds: float = 30.0) -> Backlog:
        """An empty backlog."""
        return Backlog()
