"""Whoever can write to the registry can't make the one who registers run their code, though MLflow's loader would."""

import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml

from gen_dist.bundle.bundle import load_bundle, save_bundle
from gen_dist.models.boltzmann.rbm import RBMConfig
from gen_dist.tracking import pyfunc_model
from gen_dist.tracking.registry_store import RegistryError
from gen_dist.tracking.upload import predict_registered
from gen_dist.types import DataSpec

CODE = "pyfunc_model.py"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A registered model's files, as MLflow hands them out."""
    config, spec = RBMConfig(num_hidden=6, sample_steps=5), DataSpec(channels=1, height=8, width=8)
    save_bundle(config.build(spec), config, spec, {}, tmp_path / "bundle")
    mlflow.pyfunc.save_model(
        str(tmp_path / "model"),
        python_model=str(pyfunc_model.PATH),
        artifacts={"bundle": str(tmp_path / "bundle")},
        pip_requirements=["gen-dist"],
    )
    return tmp_path / "model"


def tell(model: Path, **loader: object) -> None:
    """Change what MLflow is told about how to load it."""
    tree = yaml.safe_load((model / "MLmodel").read_text())
    tree["flavors"]["python_function"].update(loader)
    (model / "MLmodel").write_text(yaml.safe_dump(tree))


def script(mark: Path) -> str:
    return f"import os\nos.mkdir({str(mark)!r})\n"


def plant_in_the_loader(model: Path, mark: Path) -> None:
    (model / CODE).write_text(script(mark) + pyfunc_model.PATH.read_text())


def plant_beside_the_loader(model: Path, mark: Path) -> None:
    (model / "other.py").write_text(script(mark) + pyfunc_model.PATH.read_text())
    tell(model, model_code_path=f"/x/{CODE}/other.py")


def plant_a_package(model: Path, mark: Path) -> None:
    (model / "code").mkdir()
    (model / "code" / "planted_loader.py").write_text(script(mark))
    tell(model, code="code", loader_module="planted_loader")


def plant_a_model_elsewhere(model: Path, mark: Path) -> None:
    (model / "data").mkdir()
    (model / "data" / "MLmodel").write_bytes((model / "MLmodel").read_bytes())
    plant_in_the_loader(model / "data", mark)
    tell(model, data="data")


def plant_a_pickle(model: Path, mark: Path) -> None:
    (model / "planted.pkl").write_bytes(pickle.dumps(Planted(mark)))
    tree = yaml.safe_load((model / "MLmodel").read_text())
    del tree["flavors"]["python_function"]["model_code_path"]
    tree["flavors"]["python_function"].update(loader_module="mlflow.pyfunc.model", python_model="planted.pkl")
    (model / "MLmodel").write_text(yaml.safe_dump(tree))


class Planted:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.mkdir, (self.mark,)


PLANTS = (
    plant_in_the_loader,
    plant_beside_the_loader,
    plant_a_package,
    plant_a_model_elsewhere,
    plant_a_pickle,
)


def test_a_model_of_ours_is_loaded_by_mlflow(model: Path) -> None:
    images = predict_registered(str(model), None, {})
    assert np.array_equal(images, load_bundle(model / "artifacts" / "bundle").sample(1, seed=0).numpy())


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_planted_code_is_refused_where_mlflow_runs_it(
    plant: Callable[[Path, Path], None], model: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "it-ran"
    plant(model, mark)
    with pytest.raises(RegistryError, match="code that this gen_dist did not write"):
        predict_registered(str(model), None, {})
    assert not mark.exists()
    with contextlib.suppress(Exception):  # what is loaded may be no model: that it ran is what counts
        mlflow.pyfunc.load_model(str(model))
    assert mark.exists(), "MLflow would not have run it: this plant proves nothing"
