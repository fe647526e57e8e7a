"""A bundle as an MLflow model: the files, the signature, the version."""

import shutil
import tempfile
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import mlflow
import numpy as np
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

from gen_dist.bundle.bundle import Bundle, copy_bundle
from gen_dist.models.table import family_of
from gen_dist.tracking import pyfunc_model
from gen_dist.tracking.location import artifact_location
from gen_dist.tracking.registry_store import RegistryError

_REQUIREMENTS = ("gen-dist", "torch", "numpy", "safetensors", "mlflow")
_LOADER = "mlflow.pyfunc.loaders.code_model"
"""MLflow's module for models from code, which runs the one file that `model_code_path` names."""
_HARMLESS = {"artifacts", "cloudpickle_version", "env", "python_version", "streamable"}
"""What MLflow notes beside it, none of which is run."""


@dataclass(frozen=True, slots=True)
class ModelUpload:
    """What goes into the registry beside the name.

    Attributes:
        directory: of the bundle.
        bundle: the same, loaded.
        record: the evaluation record as JSON.
        sample_sheet: a picture, or None.
        experiment: MLflow experiment of the logged model.
        run_id: the run that trained it, or None.
        tags: of the version.
    """

    directory: Path
    bundle: Bundle
    record: str
    sample_sheet: Path | None
    experiment: str
    run_id: str | None
    tags: dict[str, str]


def upload_model(client: MlflowClient, name: str, upload: ModelUpload) -> int:
    """Log the model and make a version of it; returns its number. No alias is touched."""
    family = family_of(upload.bundle.config).name
    experiment_id = _experiment_id(client, upload.experiment)
    model = client.create_logged_model(experiment_id, name=name, source_run_id=upload.run_id, model_type=family)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_bundle(upload.directory, folder / "bundle")  # MLflow keeps the names of files and folders
        (folder / "evaluation.json").write_text(upload.record)
        artifacts = {"bundle": str(folder / "bundle"), "evaluation": str(folder / "evaluation.json")}
        if upload.sample_sheet is not None:
            shutil.copyfile(upload.sample_sheet, folder / "samples.png")
            artifacts["samples"] = str(folder / "samples.png")
        _save_pyfunc(folder / "model", Model(model_id=model.model_id), artifacts, upload.bundle)
        client.log_model_artifacts(model.model_id, str(folder / "model"))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    _ensure_registered_model(client, name)
    version = client.create_model_version(
        name, source=f"models:/{model.model_id}", run_id=upload.run_id, model_id=model.model_id, tags=upload.tags
    )
    return int(version.version)


def _signature(bundle: Bundle) -> ModelSignature:
    outputs, seed = _images(bundle.spec.shape), ParamSpec("seed", "long", 0)
    if not bundle.translates:
        return ModelSignature(outputs=outputs, params=ParamSchema([ParamSpec("n", "long", 1), seed]))
    assert bundle.spec.source is not None, "a model that translates is built for data with sources"
    return ModelSignature(inputs=_images(bundle.spec.source.shape), outputs=outputs, params=ParamSchema([seed]))


def _images(shape: tuple[int, ...]) -> Schema:
    return Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))])


def _save_pyfunc(path: Path, model: Model, artifacts: dict[str, str], bundle: Bundle) -> None:
    with warnings.catch_warnings():
        # most models take parameters only, and a translator's input is told by its shape
        warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)
        mlflow.pyfunc.save_model(
            str(path),
            python_model=str(pyfunc_model.PATH),
            artifacts=artifacts,
            signature=_signature(bundle),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIREMENTS],
            mlflow_model=model,
        )


def _experiment_id(client: MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    return str(client.create_experiment(name, artifact_location(client.tracking_uri, name)))


def _ensure_registered_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def predict_registered(uri: str, sources: np.ndarray | None, params: dict[str, int]) -> np.ndarray:
    """Images from a registered version, through MLflow's own loader.

    Args:
        uri: of the version.
        sources: what to translate; None for a model that draws.
        params: see `GeneratorModel.predict`.

    Raises:
        RegistryError: loading it would run code that is not ours, or it gives something else than images.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(download_artifacts(artifact_uri=uri, dst_path=temporary))
        refuse_foreign_code(uri, folder)
        images = mlflow.pyfunc.load_model(str(folder)).predict(sources, params=params)
    if not isinstance(images, np.ndarray):
        raise RegistryError(f"{uri}: predict gave {type(images).__name__} instead of an array of images")
    return images


def refuse_foreign_code(uri: str, folder: Path) -> None:
    """Check a downloaded model before MLflow loads it, which unpickles, imports and runs what the files tell it to.

    Whoever may write to the registry could have put another file there, under the tag of a bundle that is registered.

    Raises:
        RegistryError: MLflow would run anything else than the file that this gen_dist writes.
    """
    pyfunc = Model.load(str(folder)).flavors.get(mlflow.pyfunc.FLAVOR_NAME, {})
    told = {name: value for name, value in pyfunc.items() if name not in _HARMLESS and value is not None}
    code = folder / Path(str(told.pop("model_code_path", ""))).name  # MLflow looks at the last part only, too
    is_ours = code.is_file() and code.read_bytes() == pyfunc_model.PATH.read_bytes()
    if told != {"loader_module": _LOADER} or not is_ours:
        raise RegistryError(
            f"{uri} would be loaded by code that this gen_dist did not write: it was registered by another version, or "
            "changed since; delete it in MLflow and register again"
        )
