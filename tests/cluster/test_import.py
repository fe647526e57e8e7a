"""An import shared out over a Ray cluster."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_dist.cluster.importing import on_cluster
from gen_dist.commands.import_ import import_dataset
from gen_dist.data.dataset import open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions
from gen_dist.data.piecewise import import_in_pieces
from gen_dist.data.sources.folder import FolderSource


def photos(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.study  # some twelve seconds of two processes that import torch
@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_writes_the_same_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    import_dataset("photos", "one")
    import_dataset("photos", "shared", ray=True)  # relative paths mean the same to the workers
    assert open_dataset("shared").digest == open_dataset("one").digest
    one, shared = ({p.relative_to(root) for p in root.rglob("*")} for root in (tmp_path / "one", tmp_path / "shared"))
    assert one == shared

    (tmp_path / "photos" / "5.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^\S*5\.png: it is not a whole PNG[^\n]*$"):  # no account of Ray's
        import_in_pieces(
            FolderSource("photos"), tmp_path / "stopped", ImportOptions(max_group_rows=1), carry_out=on_cluster
        )


def test_what_can_not_be_shared_out_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--ray shares out a folder or an s3:// prefix of images.*digits"):
        import_dataset("digits", str(tmp_path / "dataset"), ray=True)
