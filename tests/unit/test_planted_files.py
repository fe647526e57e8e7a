"""Whoever can write where gen_dist reads can make it fail, and nothing more: no code runs, no path leads elsewhere."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gen_dist.bundle.bundle import DESCRIPTION, WEIGHTS, load_bundle, save_bundle
from gen_dist.commands.import_ import import_dataset
from gen_dist.data.dataset import open_dataset
from gen_dist.data.schema import MANIFEST, manifest_to_bytes
from gen_dist.data.storage import open_storage
from gen_dist.evaluation.inception import InceptionExtractor
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.presets import preset
from gen_dist.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from gen_dist.tuning.ledger import create_ledger, open_ledger
from gen_dist.tuning.records import StudyRecord, TrialRecord
from gen_dist.tuning.spaces import STABILITY
from gen_dist.types import DataSpec, Moment
from gen_dist.workflows.comparison import (
    Comparison,
    create_comparison,
    open_comparison,
    read_entry,
    read_samples,
    write_samples,
)
from gen_dist.workflows.job import Judging, RunJob, create_run, open_run, read_result
from gen_dist.workflows.study import terms_of

SPEC = DataSpec(channels=1, height=8, width=8, class_names=("a", "b"))
BESIDE = ("tuner.pkl", "data.pkl", "optimizer.pt", "python_model.pkl", "trainable.pkl", ".metadata.pkl")
SCRIPTS = ("__init__.py", "sitecustomize.py", "conftest.py", "model.py", "loader.py")


class Planted:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What exists once planted code has run."""
    return tmp_path / "it-ran"


@pytest.fixture
def pickled(mark: Path) -> bytes:
    return pickle.dumps(Planted(mark))


def plant_beside(folder: Path, mark: Path) -> None:
    """Pickles and scripts under the names that loaders elsewhere take, in every folder below."""
    for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        for name in BESIDE:
            (place / name).write_bytes(pickle.dumps(Planted(mark)))
        for name in SCRIPTS:
            (place / name).write_text(f"import os\nos.mkdir({str(mark)!r})\n")


def make_bundle(folder: Path) -> None:
    config = DCGANConfig(generator_channels=4, critic_channels=4, latent_dim=3)
    save_bundle(config.build(SPEC), config, SPEC, {}, folder)


def sign_bundle(folder: Path) -> None:
    """Make the digests fit what is there now, as an attacker would."""
    tree = json.loads((folder / DESCRIPTION).read_text())
    tree["weights_sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    contents = {name: value for name, value in tree.items() if name != "digest"}
    tree["digest"] = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    (folder / DESCRIPTION).write_text(json.dumps(tree))


def read_bundle(folder: Path) -> None:
    load_bundle(folder).sample(2)


CHECKPOINT = Checkpoint(
    config="{}", data_digest="d", moment=Moment(round=1, samples_seen=8), updates={"all": 1},
    num_threads=1, num_workers=1, seconds=1.0,
    tensors={group: {"all/w/m": torch.ones(2)} for group in ("learner", "ema", "optimizers", "memory")},
)  # fmt: skip


def make_checkpoint(folder: Path) -> None:
    write_checkpoint(open_storage(folder), CHECKPOINT)


def sign_checkpoint(folder: Path) -> None:
    path = folder / CHECKPOINT.key / "manifest.json"
    tree = json.loads(path.read_text())
    for name, entry in tree["files"].items():
        content = (path.parent / name).read_bytes()
        entry.update(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    path.write_text(json.dumps(tree))


def read_checkpoints(folder: Path) -> None:
    read_checkpoint(open_storage(folder), CHECKPOINT.key)


def make_dataset(folder: Path) -> None:
    import_dataset("digits", str(folder), limit=60)


def sign_dataset(folder: Path) -> None:
    manifest = open_dataset(folder).manifest
    splits = {
        name: replace(
            split,
            shards=tuple(
                replace(shard, sha256=hashlib.sha256((folder / shard.path).read_bytes()).hexdigest())
                for shard in split.shards
            ),
        )
        for name, split in manifest.splits.items()
    }
    (folder / MANIFEST).write_bytes(manifest_to_bytes(replace(manifest, splits=splits)))


def read_dataset(folder: Path) -> None:
    open_dataset(folder).read("train")


def make_study(folder: Path) -> None:
    study = StudyRecord(
        name="s", created="2026-01-01T00:00:00Z", space=STABILITY, preset="dcgan-8", base_config="{}", data_uri="d",
        data_digest="d", searcher="tpe", scheduler="asha", num_trials=1, images_per_trial=8, seed=0,
        confirmation_seeds=(), anchors={},
    )  # fmt: skip
    ledger = create_ledger(open_storage(folder), study)
    ledger.write_trial(TrialRecord(id="t0", number=0, values={}, config="{}"))
    (folder / "ray" / "tune").mkdir(parents=True)


def read_study(folder: Path) -> None:
    ledger = open_ledger(open_storage(folder))
    ledger.trials()
    ledger.confirmations()
    if (folder / "terms.json").exists():
        terms_of(ledger.storage)


def make_comparison(folder: Path) -> None:
    terms = Comparison(
        name="c", presets=("vae-8",), data="d", data_digest="d", judging=Judging(), budget_seconds=1.0,
        budget_images=None,
    )  # fmt: skip
    create_comparison(open_storage(folder), terms)
    write_samples(open_storage(folder), "vae-8", torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def read_comparison(folder: Path) -> None:
    storage = open_storage(folder)
    for name in open_comparison(storage).presets:
        read_entry(storage, name)
        read_samples(storage, name)


def make_run(folder: Path) -> None:
    create_run(RunJob(name="r", runs=str(folder), config=preset("vae-8"), data="d", data_digest="d"))


def read_run(folder: Path) -> None:
    read_result(open_run(str(folder), "r"))


def unsigned(folder: Path) -> None:
    """Nothing to sign."""


PLACES = {
    "bundle": (make_bundle, sign_bundle, read_bundle),
    "checkpoint": (make_checkpoint, sign_checkpoint, read_checkpoints),
    "dataset": (make_dataset, sign_dataset, read_dataset),
    "study": (make_study, unsigned, read_study),
    "comparison": (make_comparison, unsigned, read_comparison),
    "run": (make_run, unsigned, read_run),
}
# Files that are read there and carry no signature that could be renewed, or are signed by the manifest.
REPLACED = [
    ("bundle", WEIGHTS, True),
    ("bundle", DESCRIPTION, False),
    *(("checkpoint", f"{CHECKPOINT.key}/{name}.safetensors", True) for name in ("learner", "ema", "optimizers")),
    ("checkpoint", f"{CHECKPOINT.key}/state.json", True),
    ("checkpoint", f"{CHECKPOINT.key}/manifest.json", False),
    ("dataset", "train/*.parquet", True),
    ("dataset", MANIFEST, False),
    ("study", "study.json", False),
    ("study", "trials/t0/trial.json", False),
    ("study", "terms.json", False),
    ("study", "confirmations/t0-1/run.json", False),
    ("comparison", "comparison.json", False),
    ("comparison", "entries/vae-8.json", False),
    ("comparison", "samples/vae-8.safetensors", False),
    ("run", "r/run.json", False),
    ("run", "r/result.json", False),
]


def test_the_planted_pickle_would_run(pickled: bytes, mark: Path) -> None:
    pickle.loads(pickled)
    assert mark.exists()


@pytest.mark.parametrize("place", PLACES)
def test_what_lies_beside_is_never_run(place: str, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, _, read = PLACES[place]
    folder = tmp_path / place
    make(folder)
    plant_beside(folder, mark)
    monkeypatch.chdir(folder)
    read(folder)
    assert not mark.exists()


@pytest.mark.parametrize(("place", "name", "is_signed"), REPLACED)
def test_a_pickle_in_a_files_place_is_refused(
    place: str, name: str, is_signed: bool, pickled: bytes, mark: Path, tmp_path: Path
) -> None:
    make, sign, read = PLACES[place]
    folder = tmp_path / place
    make(folder)
    file = next(folder.glob(name), folder / name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickled)
    if is_signed:
        sign(folder)
    with pytest.raises(ValueError, match=r".") as refused:
        read(folder)
    assert not mark.exists()
    assert "digest" not in str(refused.value), "it was refused for its digest: the signature was not renewed"


def test_arrays_of_objects_and_weights_that_are_pickles_are_refused(mark: Path, tmp_path: Path, pickled: bytes) -> None:
    objects = np.empty(1, dtype=object)
    objects[0] = Planted(mark)
    np.save(tmp_path / "images.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "images.npz", images=objects)
    for name in ("images.npy", "images.npz"):
        with pytest.raises(ValueError, match="never unpickled"):
            import_dataset(str(tmp_path / name), str(tmp_path / "out"))
    (tmp_path / "weights.safetensors").write_bytes(pickled)
    with pytest.raises(ValueError, match="does not hold the weights"):
        InceptionExtractor(tmp_path / "weights.safetensors")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(pickled)
    with pytest.raises(ValueError, match=r"a\.png"):
        import_dataset(str(tmp_path / "images"), str(tmp_path / "out"))
    assert not mark.exists()
