"""Every source gives the images, labels, splits and texts that its files hold."""

import gzip
import io
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.sources.cifar10 import FILES, FOLDER
from gen_dist.data.sources.fashion_mnist import CLASS_NAMES, DEBIAN_FOLDER
from gen_dist.data.sources.source import Example, Source

GREY = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
RECORDS = 50
LABELS = np.array([0, 1, 2, 0, 1, 2, 2])


def opened(name: Path | str, **options: object) -> Source:
    return open_source(str(name), SourceOptions(**options))


def pixels(examples: Iterable[Example]) -> np.ndarray:
    return np.stack([np.asarray(example.load()) for example in examples])


def write_idx(folder: Path, prefix: str, *, compress: bool) -> None:
    folder.mkdir(exist_ok=True)
    files = {
        f"{prefix}-images-idx3-ubyte": struct.pack(">IIII", 0x803, *GREY.shape) + GREY.tobytes(),
        f"{prefix}-labels-idx1-ubyte": struct.pack(">II", 0x801, 7) + LABELS.astype(np.uint8).tobytes(),
    }
    for name, data in files.items():
        (folder / (name + ".gz" * compress)).write_bytes(gzip.compress(data) if compress else data)


@pytest.mark.parametrize("compress", [False, True])
def test_idx_folder(tmp_path: Path, compress: bool) -> None:
    write_idx(tmp_path / "set", "train", compress=compress)
    write_idx(tmp_path / "set", "t10k", compress=compress)
    source = opened(tmp_path / "set")
    examples = list(source.examples())
    assert source.num_examples == len(examples) == 14
    assert source.published_splits == {"train", "test"}
    assert source.class_names == ("0", "1", "2")
    train = [example for example in examples if example.split == "train"]
    assert np.array_equal(pixels(train), GREY[..., None])
    assert [example.label for example in train] == LABELS.tolist()
    assert len({example.id for example in examples}) == 14


def test_single_idx_file_finds_its_labels_or_takes_them(tmp_path: Path) -> None:
    write_idx(tmp_path / "set", "train", compress=False)
    images = tmp_path / "set" / "train-images-idx3-ubyte"
    labels = tmp_path / "set" / "train-labels-idx1-ubyte"
    source = opened(images)
    assert source.published_splits == frozenset()
    assert [example.label for example in source.examples()] == LABELS.tolist()
    moved = labels.rename(tmp_path / "elsewhere")
    assert opened(images).class_names == ()
    assert [example.label for example in opened(images, labels=moved).examples()] == LABELS.tolist()


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def test_folder_of_images_without_classes(tmp_path: Path) -> None:
    for index, image in enumerate(GREY):
        write_image(tmp_path / "set" / f"{index}.png", image)
    write_image(tmp_path / "set" / ".thumbnails" / "0.png", GREY[0])
    (tmp_path / "set" / "notes.md").write_text("about")
    source = opened(tmp_path / "set")
    assert source.num_examples == 7
    assert source.class_names == ()
    assert not source.has_text
    assert np.array_equal(pixels(source.examples()), GREY)
    assert [example.id for example in source.examples()] == [f"{index}.png" for index in range(7)]


def test_folder_of_class_folders_and_captions(tmp_path: Path) -> None:
    write_image(tmp_path / "set" / "dog" / "1.png", RGB[0])
    write_image(tmp_path / "set" / "cat" / "deeper" / "2.JPG", RGB[1])
    (tmp_path / "set" / "dog" / "1.txt").write_text("a dog, sleeping\n")
    source = opened(tmp_path / "set")
    assert source.class_names == ("cat", "dog")
    assert [(example.id, example.label, example.text) for example in source.examples()] == [
        ("cat/deeper/2.JPG", 0, None),
        ("dog/1.png", 1, "a dog, sleeping"),
    ]
    options = ImportOptions()
    dataset = import_source(source, tmp_path / "dataset", options).dataset
    assert dataset.manifest.has_text


def test_folder_of_published_splits(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/2.png", "val/a/3.png", "test/b/4.png"):
        write_image(tmp_path / "set" / name, GREY[0])
    source = opened(tmp_path / "set")
    assert source.class_names == ("a", "b")
    assert [(example.split, example.label) for example in source.examples()] == [
        ("test", 1),
        ("train", 0),
        ("train", 1),
        ("validation", 0),
    ]
    dataset = import_source(source, tmp_path / "dataset", ImportOptions()).dataset
    assert [dataset.num_images(split) for split in ("train", "validation", "test")] == [2, 1, 1]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY[..., None]),
        (RGB, RGB),
        (RGB.transpose(0, 3, 1, 2), RGB),
        (np.asfortranarray(RGB), RGB),
        (GREY[:, None], GREY[..., None]),
    ],
    ids=["grey", "channels last", "channels first", "Fortran order", "grey channels first"],
)
@pytest.mark.parametrize("kind", ["npy", "npz", "compressed npz"])
def test_arrays(tmp_path: Path, images: np.ndarray, expected: np.ndarray, kind: str) -> None:
    path = tmp_path / f"x.{kind[-3:]}"
    if kind == "npy":
        np.save(path, images)
        np.save(tmp_path / "labels.npy", LABELS)
        source = opened(path, labels=tmp_path / "labels.npy")
    else:
        save = np.savez if kind == "npz" else np.savez_compressed
        save(path, images=images, labels=LABELS)
        source = opened(path)
    assert np.array_equal(pixels(source.examples()), expected)
    assert [example.label for example in source.examples()] == LABELS.tolist()
    assert source.class_names == ("0", "1", "2")


def test_arrays_in_the_layout_of_keras_and_with_names(tmp_path: Path) -> None:
    names = np.array(["zero", "one", "two", "three"])
    np.savez(
        tmp_path / "x.npz", x_train=GREY, y_train=LABELS[:, None], x_test=GREY[:2], y_test=LABELS[:2], class_names=names
    )
    source = opened(tmp_path / "x.npz")
    assert source.published_splits == {"train", "test"}
    assert source.class_names == ("zero", "one", "two", "three")
    assert [example.split for example in source.examples()] == ["train"] * 7 + ["test"] * 2


def test_arrays_with_texts(tmp_path: Path) -> None:
    texts = np.array([f"picture {index} \u2764" for index in range(7)])
    np.savez(tmp_path / "x.npz", images=GREY, texts=texts)
    source = opened(tmp_path / "x.npz")
    assert source.has_text
    assert [example.text for example in source.examples()] == texts.tolist()
    assert source.class_names == ()


def cifar_records(number: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    images = random.integers(0, 256, (RECORDS, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 10, RECORDS, dtype=np.uint8)
    records = np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(RECORDS, -1)], axis=1)
    return records.tobytes(), images, labels


@pytest.fixture
def cifar_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 in small: the layout is the same with fewer images in a file."""
    monkeypatch.setattr("gen_dist.data.sources.cifar10.RECORDS_PER_FILE", RECORDS)
    folder = tmp_path / "unpacked" / FOLDER
    folder.mkdir(parents=True)
    for number, (name, _) in enumerate(FILES):
        (folder / name).write_bytes(cifar_records(number)[0])
    return folder


def test_cifar10(cifar_folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(cifar_folder, FOLDER)
    for path in (cifar_folder, archive):
        source = opened("cifar10", path=path)
        examples = {example.id: example for example in source.examples()}
        assert len(examples) == source.num_examples == 6 * RECORDS
        _, images, labels = cifar_records(5)
        test = [examples[f"test_batch/{index:05d}"] for index in (0, 1, 49)]
        assert np.array_equal(pixels(test), images[[0, 1, 49]])
        assert [example.label for example in test] == labels[[0, 1, 49]].tolist()
        assert [example.split for example in test] == ["test"] * 3
        assert examples["data_batch_3/00042"].split == "train"


def test_cifar10_archive_cannot_lead_anywhere(cifar_folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        for name in (f"../{FOLDER}/test_batch.bin", "/etc/passwd", f"{FOLDER}/unknown.bin"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
        link = tarfile.TarInfo(f"{FOLDER}/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match=r"evil\.tar/data_batch_1\.bin: it is missing"):
        import_source(opened("cifar10", path=archive), tmp_path / "dataset", ImportOptions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar", "unpacked"]


def test_cifar10_that_is_cut_off(cifar_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    for name, _ in FILES:
        (folder / name).write_bytes((cifar_folder / name).read_bytes()[: 3073 * 2 + 5])
    with pytest.raises(DataError, match=r"data_batch_1\.bin: the file is cut off after 2 of 50 images"):
        import_source(opened("cifar10", path=folder), tmp_path / "dataset", ImportOptions())
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"has no test_batch\.bin"):
        opened("cifar10", path=folder)
    with pytest.raises(DataError, match="not shipped and not downloaded: name cifar-10-binary"):
        opened("cifar10")


def test_imagenet32(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    flat = images.transpose(0, 3, 1, 2).reshape(30, -1)
    labels = np.arange(1, 31) * 30
    for name, part in (("train_data_batch_1", slice(0, 10)), ("train_data_batch_10", slice(10, 20))):
        np.savez(tmp_path / f"{name}.npz", data=flat[part], labels=labels[part], mean=flat.mean(axis=0))
    np.savez(tmp_path / "val_data.npz", data=flat[20:], labels=labels[20:])
    source = opened("imagenet32", path=tmp_path)
    examples = list(source.examples())
    assert np.array_equal(pixels(examples), images)
    assert [example.label for example in examples] == (labels - 1).tolist()
    assert [example.split for example in examples] == ["train"] * 20 + ["test"] * 10
    assert len(source.class_names) == 1000
    np.savez(tmp_path / "val_data.npz", data=flat[20:])
    with pytest.raises(DataError, match=r"val_data\.npz: it has no array 'labels', only data"):
        opened("imagenet32", path=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds neither train_data_batch_1"):
        opened("imagenet32", path=tmp_path / "empty")


def test_fashion_mnist_from_a_folder(tmp_path: Path) -> None:
    write_idx(tmp_path / "fm", "train", compress=True)
    write_idx(tmp_path / "fm", "t10k", compress=True)
    source = opened("fashion-mnist", path=tmp_path / "fm")
    assert source.class_names == CLASS_NAMES
    assert source.name == "fashion-mnist"
    assert source.num_examples == 14


def test_fashion_mnist_that_is_nowhere_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gen_dist.data.sources.fashion_mnist.DEBIAN_FOLDER", tmp_path / "none")
    with pytest.raises(DataError, match="--path, install Debian's package dataset-fashion-mnist, or add --download"):
        opened("fashion-mnist")


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_from_debian() -> None:
    source = opened("fashion-mnist")
    assert source.num_examples == 70_000
    assert next(source.examples()).label == 9
