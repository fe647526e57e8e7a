"""Pictures of a finished model, logged to the run that trained it or to a run of their own."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from gen_dist.tracking.lineage import lineage_tags
from gen_dist.tracking.location import artifact_location, store_uri
from gen_dist.tracking.registry_store import registry_client
from gen_dist.tracking.store import RUN_NAME_TAG

FOLDER = "explore"
"""Of the artifacts inside a run."""
EXPERIMENT = "gen_dist"
MODEL_TAG = "gen_dist.model"
DIGEST_TAG = "gen_dist.bundle_digest"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture hangs.

    Attributes:
        run_id: MLflow's id of the run.
        run_name: its name.
        artifact: path inside the run.
        new: whether the run was made for the picture.
    """

    run_id: str
    run_name: str
    artifact: str
    new: bool


def log_picture(
    picture: Path,
    *,
    figures: str | None,
    trained_by: str | None,
    model: str,
    digest: str,
    tracking_uri: str | None = None,
) -> Place:
    """Log a picture, and its figures beside it as JSON; one of the same name replaces an earlier one.

    Args:
        picture: the file.
        figures: JSON, or None.
        trained_by: name of the run that trained the model; if MLflow has exactly one of that name, it gets the picture.
        model: what the model was called, a tag of a new run.
        digest: of the model's bundle, a tag of a new run, by which the next picture of the model finds it.
        tracking_uri: MLflow's store; None as in `location.store_uri`.

    Raises:
        RegistryError: MLflow can't be reached or refuses.
    """
    with registry_client(store_uri(tracking_uri)) as client:
        run = _only(client, RUN_NAME_TAG, trained_by)
        new = False
        if run is None:
            run = _only(client, DIGEST_TAG, digest)
        if run is None:
            run, new = _new_run(client, model, digest), True
        run_id = str(run.info.run_id)
        client.log_artifact(run_id, str(picture), FOLDER)
        if figures is not None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / f"{picture.stem}.json"
                file.write_text(figures + "\n")
                client.log_artifact(run_id, str(file), FOLDER)
        return Place(run_id, str(run.info.run_name), f"{FOLDER}/{picture.name}", new)


def _only(client: MlflowClient, tag: str, value: str | None) -> Run | None:
    """The one run that has this tag; None if there is none, or more than one."""
    if value is None or "'" in value:
        return None
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{tag}` = '{value}'", max_results=2)
    return runs[0] if len(runs) == 1 else None


def _new_run(client: MlflowClient, model: str, digest: str) -> Run:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        experiment_id = client.create_experiment(EXPERIMENT, artifact_location(client.tracking_uri, EXPERIMENT))
    else:
        experiment_id = experiment.experiment_id
    tags = {MODEL_TAG: model, DIGEST_TAG: digest, **lineage_tags()}
    run = client.create_run(experiment_id, tags=tags, run_name=f"{FOLDER}-{digest[:8]}")
    client.set_terminated(run.info.run_id)
    return run
