"""One training run as a value that can travel: what the driver asks of its workers, and what they answer."""

from dataclasses import dataclass, field, replace
from typing import Literal

from gen_dist.config import RunConfig
from gen_dist.data.storage import Storage, open_storage
from gen_dist.serialization import from_json, to_json
from gen_dist.training.training import Row
from gen_dist.workflows.extractor import ExtractorChoice
from gen_dist.workflows.names import checked_name

JOB = "run.json"
RESULT = "result.json"
STOP_REQUEST = "stop-requested"
CHECKPOINTS = "checkpoints"
BUNDLE = "bundle"
SAMPLES = "samples"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judging:
    """How a run is evaluated.

    Attributes:
        extractor: of features; "auto" takes the classifier for labelled data and random features otherwise.
        split: that the samples are compared with.
        num_samples: images drawn from the model.
        num_scored: images whose likelihood is averaged, where the model has one.
        inception_weights: safetensors file, for the "inception" extractor.
        classifier: bundle of the classifier to use, instead of this machine's own.
        class_judge: bundle of the classifier that says whether images show the class they were drawn for, instead of
            this machine's own.
        select: whether the model is judged that was best on validation images during the run (see
            `gen_dist.workflows.selection`), instead of the last one.
    """

    extractor: ExtractorChoice = "auto"
    split: Literal["validation", "test"] = "test"
    num_samples: int = 1000
    num_scored: int = 1000
    inception_weights: str | None = None
    classifier: str | None = None
    class_judge: str | None = None
    select: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunJob:
    """A run, fixed when it is created.

    Attributes:
        name: unique among the runs in the same folder.
        runs: folder (or `s3://` prefix) that holds runs, each in a folder of its own name.
        config: what is trained.
        data: URI of the dataset.
        data_digest: of the dataset, so that a run never goes on with other data.
        judging: how it is evaluated, or None for not at all.
        experiment: MLflow's, or None for no tracking.
        parent: name of the MLflow run that this one belongs to.
        tags: of its MLflow run.
        time_budget_seconds: after which the run stops, or None.
        memory_budget_bytes: above which data is streamed instead of held.
    """

    name: str
    runs: str
    config: RunConfig
    data: str
    data_digest: str
    judging: Judging | None = Judging()
    experiment: str | None = None
    parent: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    time_budget_seconds: float | None = None
    memory_budget_bytes: int = 2 << 30

    def __post_init__(self) -> None:
        checked_name("run", self.name)

    @property
    def folder(self) -> Storage:
        """The run's own folder."""
        return open_storage(self.runs).child(self.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        name: of the run.
        finished: it drew all its images.
        diverged: where it broke (see `Diverged.facts`), or None.
        samples_seen: images drawn.
        updates: steps of each player.
        seconds: training time over all restarts.
        evaluation: the last evaluation record as JSON text, or None.
        evaluations: all evaluations as rows.
        bundle: URI of the trained model, or None.
        selected_images: training images that it had seen, where the best one was selected; else None.
    """

    name: str
    finished: bool
    diverged: dict[str, str | int] | None = None
    samples_seen: int = 0
    updates: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    evaluation: str | None = None
    evaluations: list[Row] = field(default_factory=list)
    bundle: str | None = None
    selected_images: int | None = None


def create_run(job: RunJob) -> None:
    """Write a new run down.

    Raises:
        ValueError: there is a run of that name already.
    """
    try:
        job.folder.create(JOB, to_json(job, indent=1).encode())
    except FileExistsError as error:
        raise ValueError(
            f"there is a run {job.name!r} below {job.runs} already: give this one another --name, or go on with that "
            f"one with --resume {job.name}"
        ) from error


def open_run(runs: str, name: str) -> RunJob:
    """The run of that name. It goes on where it was found, whatever its file says of the place.

    Raises:
        ValueError: there is none, or its file is damaged or that of another run.
    """
    storage = open_storage(runs)
    checked_name("run", name)
    try:
        text = storage.read_bytes(f"{name}/{JOB}").decode(errors="replace")
    except FileNotFoundError as error:
        known = sorted(key.split("/")[0] for key in storage.list() if key.endswith(f"/{JOB}") and key.count("/") == 1)
        raise ValueError(f"there is no run {name!r} below {runs}; there are: {', '.join(known) or 'none'}") from error
    try:
        job = from_json(text, RunJob)
    except ValueError as error:
        raise ValueError(f"{storage.uri}/{name}/{JOB}: {error}") from error
    if job.name != name:
        raise ValueError(f"{storage.uri}/{name}/{JOB} is that of the run {job.name!r}: give the folder its name back")
    return replace(job, runs=storage.uri)


def read_result(job: RunJob) -> RunResult | None:
    """How the run ended, or None while it has not."""
    try:
        return from_json(job.folder.read_bytes(RESULT).decode(errors="replace"), RunResult)
    except FileNotFoundError:
        return None
