"""`gen-dist evaluate` and `gen-dist sample` on a bundle in a folder: what people and programs get to see."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gen_dist import cli
from gen_dist.bundle.bundle import load_bundle, save_bundle
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.vae.vae import VAEConfig
from gen_dist.types import DataSpec
from gen_dist.workflows.evaluate import chosen_device, holds_averaged_weights, load_model

SPEC = DataSpec(channels=1, height=8, width=8, class_names=tuple("0123456789"))
CONFIG = DCGANConfig(generator_channels=4, critic_channels=4, latent_dim=3)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    save_bundle(CONFIG.build(SPEC), CONFIG, SPEC, {}, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data") / "digits"
    import_source(DigitsSource(), place, ImportOptions())
    return place


def evaluate(*arguments: str) -> int:
    return cli.main(["evaluate", *arguments, "--extractor", "random", "--num-samples", "100", "--device", "cpu"])


def test_the_table_shows_model_anchors_protocol_and_notes(
    bundle: Path, digits: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert evaluate(str(bundle), "--data", str(digits)) == 0
    shown = capsys.readouterr().out
    for text in ("Fréchet distance", "real images", "Gaussian", "100 samples", "averaged weights", "test split"):
        assert text in shown
    assert "note: worse than a Gaussian fitted to the pixels" in shown


def test_json_is_the_record_and_nothing_else(bundle: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(str(bundle), "--data", str(digits), "--split", "validation", "--json") == 0
    record = EvaluationRecord.from_json(capsys.readouterr().out)
    assert (record.protocol.split, record.protocol.num_samples, record.protocol.ema) == ("validation", 100, True)


def test_a_likelihood_is_shown_with_its_kind_and_error(
    tmp_path: Path, digits: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    config = VAEConfig(ema_decay=None)
    save_bundle(config.build(SPEC), config, SPEC, {}, tmp_path / "vae")
    assert evaluate(str(tmp_path / "vae"), "--data", str(digits), "--num-scored", "20") == 0
    shown = capsys.readouterr().out
    assert "bits per dimension (lower bound)" in shown
    assert "±" in shown
    assert "weights as trained" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--data", "nowhere"], "nowhere holds no bundle"),
        (["BUNDLE", "--data", "nowhere"], "or take a built-in one: digits, digits-edges"),
        (["BUNDLE", "--data", "DIGITS", "--num-samples", "3"], "nearest_k is 3"),
    ],
)
def test_mistakes_are_named_and_exit_with_2(
    bundle: Path, digits: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    places = {"BUNDLE": str(bundle), "DIGITS": str(digits)}
    words = [places.get(word, word) for word in arguments]
    assert cli.main(["evaluate", *words, "--extractor", "random"]) == 2
    assert message in capsys.readouterr().err


def test_samples_are_written_as_asked(bundle: Path, tmp_path: Path) -> None:
    outputs = ["--out", "sheet.png", "--npz", "pixels.npz", "--folder", "one-by-one"]
    assert cli.main(["sample", str(bundle), "-n", "12", "--seed", "3", *outputs]) == 0
    images = load_bundle(bundle).sample(12, seed=3)
    with np.load("pixels.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["images"], images.permute(0, 2, 3, 1).numpy())
    files = sorted(Path("one-by-one").iterdir())
    assert [file.name for file in files] == [f"{index:02}.png" for index in range(12)]
    assert torch.equal(torch.from_numpy(np.asarray(Image.open(files[7])).copy()), images[7, 0])
    first = Path("sheet.png").read_bytes()
    assert cli.main(["sample", str(bundle), "-n", "12", "--seed", "3", "--out", "again.png"]) == 0
    assert Path("again.png").read_bytes() == first


def test_the_sheet_is_grid_png_unless_something_else_is_asked(bundle: Path) -> None:
    assert cli.main(["sample", str(bundle), "-n", "3"]) == 0
    assert Path("grid.png").exists()
    Path("grid.png").unlink()
    assert cli.main(["sample", str(bundle), "-n", "3", "--npz", "a.npz"]) == 0
    assert not Path("grid.png").exists()


def test_outputs_that_would_mislead_are_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sample", str(bundle), "-n", "3", "--folder", str(bundle)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert cli.main(["sample", str(bundle), "-n", "3", "--npz", "a.png"]) == 2
    assert "let it end in .npz" in capsys.readouterr().err


def test_whether_weights_are_averaged_is_read_from_the_players(tmp_path: Path, bundle: Path) -> None:
    assert holds_averaged_weights(load_model(str(bundle)))
    config = DCGANConfig(generator_channels=4, critic_channels=4, ema_decay=None)
    save_bundle(config.build(SPEC), config, SPEC, {}, tmp_path / "plain")
    assert not holds_averaged_weights(load_model(str(tmp_path / "plain")))


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="torch finds no GPU here"):
        chosen_device("cuda")
