"""Names and files from elsewhere: none leads out of its folder, and none takes more room than it may."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from gen_dist.commands.import_ import import_dataset
from gen_dist.commands.tune import tune
from gen_dist.data.sources import folder as folder_source
from gen_dist.presets import preset
from gen_dist.tracking.location import ARTIFACT_FOLDER, artifact_location, folder_name
from gen_dist.workflows.job import RunJob, create_run, open_run
from gen_dist.workflows.names import checked_model_name, checked_name, model_name_of

FOREIGN = ("../x", "..", "/etc/x", "a/b", "a\\b", ".hidden", "-x", "", "a\0b", "x\n", "a" * 101, "a'b")


@pytest.mark.parametrize("name", FOREIGN)
def test_names_that_could_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    for kind in ("run", "study", "comparison"):
        with pytest.raises(ValueError, match=f"{kind} name"):
            checked_name(kind, name)
    with pytest.raises(ValueError, match="model name"):
        checked_model_name(name)
    with pytest.raises(ValueError, match="run name"):
        open_run(str(tmp_path), name)
    assert checked_model_name(model_name_of(f"s3://bucket/{name}"))


def test_a_study_is_refused_by_its_name_before_anything_is_made() -> None:
    for option in ("name", "resume"):
        with pytest.raises(ValueError, match="study name"):
            tune(**{option: "../elsewhere"})
    with pytest.raises(ValueError, match="model name"):
        tune(name="fine", register="a/b")


@pytest.mark.parametrize("experiment", ["../../x", "/etc/x", "..", ".", "/Shared/mine", "a b", "gen_dist"])
def test_an_experiment_keeps_its_files_beside_the_database(experiment: str, tmp_path: Path) -> None:
    location = artifact_location(f"sqlite:///{tmp_path}/mlflow.db", experiment)
    assert location is not None
    assert location.startswith(f"{(tmp_path / ARTIFACT_FOLDER).as_uri()}/")
    assert Path(tmp_path, folder_name(experiment)).resolve().parent == tmp_path.resolve()


def test_a_run_goes_on_where_it_was_found(tmp_path: Path) -> None:
    create_run(RunJob(name="r", runs=str(tmp_path / "runs"), config=preset("vae-8"), data="d", data_digest="d"))
    path = tmp_path / "runs" / "r" / "run.json"
    path.write_text(path.read_text().replace(str(tmp_path / "runs"), str(tmp_path / "elsewhere")))
    assert open_run(str(tmp_path / "runs"), "r").folder.local_path == tmp_path / "runs" / "r"
    path.write_text(path.read_text().replace('"name": "r"', '"name": "other"'))
    with pytest.raises(ValueError, match="is that of the run 'other'"):
        open_run(str(tmp_path / "runs"), "r")


def test_what_unpacks_to_too_much_is_refused_by_its_header(tmp_path: Path) -> None:
    header = struct.pack(">IIII", 0x803, 1 << 31, 64, 64)
    (tmp_path / "x-images-idx3-ubyte.gz").write_bytes(gzip.compress(header))
    with pytest.raises(ValueError, match="claims 2147483648 images"):
        import_dataset(str(tmp_path / "x-images-idx3-ubyte.gz"), str(tmp_path / "out"))


def test_files_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images"
    images.mkdir()
    folder_source.Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(images / "a.png")
    (images / "a.txt").write_text("x" * (folder_source.MAX_CAPTION_FILE_BYTES + 1))
    with pytest.raises(ValueError, match=r"a\.png: a\.txt is no caption"):
        import_dataset(str(images), str(tmp_path / "out"))
    (images / "a.txt").unlink()
    monkeypatch.setattr(folder_source, "MAX_FILE_BYTES", 20)
    with pytest.raises(ValueError, match="more than 20 bytes"):
        import_dataset(str(images), str(tmp_path / "out"))
