"""`gen-dist import` and `gen-dist show`, as a user types them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_dist.cli import main
from gen_dist.data.dataset import open_dataset


def test_import_and_show_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "digits", "digits-dataset"]) == 0
    said = capsys.readouterr().out
    assert "1280 train, 147 validation, 370 test images of 1 x 8 x 8, 10 classes" in said
    dataset = open_dataset("digits-dataset")
    assert dataset.digest[:12] in said
    assert main(["show", "digits-dataset", "--out", "sheet.png"]) == 0
    said = capsys.readouterr().out
    assert dataset.digest in said
    assert "8 x 8, grey" in said
    for label in range(10):
        counts = [str(dataset.manifest.splits[split].class_counts[label]) for split in ("train", "validation", "test")]
        row = next(line for line in said.splitlines() if line.startswith(f"│ {label} "))
        assert [cell.strip() for cell in row.split("│")[2:-1]] == counts
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    # Ten rows of 8 x 8 images, four times as large, with a gap of two pixels around each.
    assert pixels.shape[0] == 10 * (32 + 2) + 2
    assert pixels.shape[1] > 12 * (32 + 2)


def test_the_contact_sheet_has_each_class_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    shades = np.array([10, 90, 170, 250], dtype=np.uint8)
    labels = np.tile(np.arange(4), 50)
    images = np.broadcast_to(shades[labels][:, None, None, None], (200, 40, 40, 3))
    np.savez("x.npz", images=images, labels=labels, class_names=np.array(["a", "b", "c", "a long name"]))
    assert main(["import", "x.npz", "dataset", "--validation", "0", "--test", "0"]) == 0
    assert main(["show", "dataset"]) == 0
    with Image.open("contact-sheet.png") as sheet:
        pixels = np.asarray(sheet)
    for row, shade in enumerate(shades):
        band = pixels[2 + row * 42 : 2 + row * 42 + 40, -12 * 42 - 2 :]
        assert sorted(set(band.reshape(-1).tolist())) == [shade, 255], "images of one shade, and the gaps between them"


def test_sheets_show_sources_and_captions(capsys: pytest.CaptureFixture[str]) -> None:
    Path("set").mkdir()
    for index in range(4):
        pair = Image.new("RGB", (20, 10), (0, 0, 200))
        pair.paste((250, 0, 0), (0, 0, 10, 10))
        pair.save(f"set/{index}.png")
    rows = "".join(f"{index}.png,half of it is red\n" for index in range(4))
    Path("captions.csv").write_text(f"file,caption\n{rows}")
    command = "import set dataset --pairs left --captions captions.csv --validation 0 --test 0"
    assert main(command.split()) == 0
    said = capsys.readouterr().out
    assert "to be made from paired images of 3 x 10 x 10" in said
    assert "with captions of at most 17 bytes" in said
    assert main(["show", "dataset"]) == 0
    said = capsys.readouterr().out
    assert "made from   10 x 10, RGB, paired" in said
    assert "captions    at most 17 bytes: 'half of it is red'" in said
    with Image.open("contact-sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    # A cell is a red source and a blue image of 100 x 100 side by side; below them, black on white, the caption.
    left = next(column for column in range(20) if (pixels[52, column] == (250, 0, 0)).all())
    assert (pixels[2:102, left : left + 100] == (250, 0, 0)).all()
    assert (pixels[2:102, left + 100 : left + 200] == (0, 0, 200)).all()
    assert (pixels[2:102, left + 202 : left + 302] == (250, 0, 0)).all()
    below = pixels[102:114, left : left + 200]
    assert below.min() < 100
    assert below.mean() > 200


def test_unpaired_sets_say_what_is_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    command = "import polygons dataset --num-images 30 --size 8 --unpaired-sources digits --validation 0 --test 0"
    assert main(command.split()) == 0
    said = capsys.readouterr().out
    assert "The smaller set is repeated: train: 30 images for 1797" in said
    assert "to be made from unpaired images of 1 x 8 x 8" in said
    dataset = open_dataset("dataset")
    assert dataset.manifest.provenance.options["repeated"] == "train: 30 images for 1797"
    assert dataset.manifest.provenance.options["unpaired_sources"] == "digits"


def test_options_reach_the_dataset_and_its_provenance(capsys: pytest.CaptureFixture[str]) -> None:
    command = "import polygons dataset --num-images 50 --size 24 --resize 12 --crop 10 --mode rgb --limit 40 --test 0"
    assert main(command.split()) == 0
    dataset = open_dataset("dataset")
    assert dataset.spec.shape == (3, 10, 10)
    assert dataset.num_images("train") + dataset.num_images("validation") == 40
    assert dataset.manifest.provenance.options == {
        "num_images": "50",
        "size": "24",
        "resize": "12",
        "crop": "10",
        "mode": "rgb",
        "limit": "40",
        "test": "0.0",
    }


def test_skipped_images_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("set").mkdir()
    for index in range(30):
        Path(f"set/bad{index:02d}.png").write_text("no image")
    Image.new("L", (8, 8)).save("set/good.png")
    shares = ["--validation", "0", "--test", "0"]
    assert main(["import", "set", "dataset", *shares]) == 2
    assert "set/bad00.png: it is not a whole PNG or JPEG image" in capsys.readouterr().err
    assert not Path("dataset").exists()
    assert main(["import", "set", "dataset", "--skip-bad", *shares]) == 0
    said = capsys.readouterr().out
    assert "30 bad images were left out:" in said
    assert "set/bad00.png: it is not a whole PNG" in said
    assert "and 10 more" in said


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("import nothing dataset", "there is no file nothing"),
        ("import digits dataset --size 4", "--size means nothing for the source digits"),
        ("import digits dataset --test 1.5", "the share of test is 1.5"),
        ("import digits gopher://x", "unknown scheme 'gopher'"),
        ("import digits dataset --pairs outlines", "--pairs is 'outlines': it is edges, grey,"),
        ("import digits dataset --pairs edges --unpaired-sources digits", "keep one"),
        ("import digits dataset --captions no.csv", "no.csv does not exist"),
        ("show nothing", "there is no dataset at"),
        ("show nothing --out sheet.jpg", "name it sheet.png"),
    ],
)
def test_mistakes_are_explained_with_exit_code_2(
    command: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(command.split()) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_explains_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command, example in (("import", "gen-dist import digits digits-dataset"), ("show", "gen-dist show digits-")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert example in capsys.readouterr().out
