"""Bad input: every kind of it an error that names the file and the cause, and nothing at the destination."""

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.errors import DataError
from gen_dist.data.importing import Imported, ImportOptions, import_source
from gen_dist.data.split import SplitShares

ALL_TRAIN = SplitShares(validation=0.0, test=0.0)


def run(source: Path, destination: Path, *, skip_bad: bool = False) -> Imported:
    options = ImportOptions(shares=ALL_TRAIN, skip_bad=skip_bad)
    return import_source(open_source(str(source), SourceOptions()), destination, options)


def write_idx(path: Path, images: np.ndarray) -> Path:
    path.write_bytes(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())
    return path


def write_png(path: Path, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


def write_npy_header(path: Path, shape: tuple[int, ...], descr: str = "|u1") -> Path:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        file.write(bytes(64))
    return path


def bomb_png(path: Path) -> Path:
    """A few hundred bytes that unpack to 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


# What is made in a folder, which of it is imported, and the file and cause that the message must name.
IMAGES = np.arange(5 * 36, dtype=np.uint8).reshape(5, 6, 6)


def truncated_idx(folder: Path) -> Path:
    path = write_idx(folder / "x-images-idx3-ubyte", IMAGES)
    path.write_bytes(path.read_bytes()[:-1])
    return path


def truncated_gzip(folder: Path) -> Path:
    path = folder / "x-images-idx3-ubyte.gz"
    plain = write_idx(folder / "plain", IMAGES)
    # Stored without compression, so that it is known which images come before the end.
    path.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=0)[: -36 - 8])
    return path


def idx_with_more(folder: Path) -> Path:
    path = write_idx(folder / "x-images-idx3-ubyte", IMAGES)
    path.write_bytes(path.read_bytes() + b"\0")
    return path


def wrong_magic(folder: Path) -> Path:
    path = folder / "x-images-idx3-ubyte"
    path.write_bytes(b"\x00\x00\x08\x01" + bytes(20))
    return path


def absurd_idx(folder: Path) -> Path:
    path = folder / "x-images-idx3-ubyte"
    path.write_bytes(struct.pack(">IIII", 0x803, 1, 1 << 31, 1 << 31))
    return path


def labels_missing(folder: Path) -> Path:
    (folder / "x-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 4) + bytes(4))
    return write_idx(folder / "x-images-idx3-ubyte", IMAGES)


def mixed_sizes(folder: Path) -> Path:
    write_png(folder / "set" / "a.png", (8, 8))
    write_png(folder / "set" / "b.png", (9, 8))
    return folder / "set"


def mixed_modes(folder: Path) -> Path:
    write_png(folder / "set" / "a.png", mode="L")
    write_png(folder / "set" / "b.png", mode="RGB")
    return folder / "set"


def corrupt_png(folder: Path) -> Path:
    write_png(folder / "set" / "a.png")
    data = bytearray(write_png(folder / "set" / "b.png", (64, 64)).read_bytes())
    data[45] ^= 0xFF
    (folder / "set" / "b.png").write_bytes(data)
    return folder / "set"


def truncated_jpeg(folder: Path) -> Path:
    write_png(folder / "set" / "a.png", (64, 64), "RGB")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "set" / "b.jpg")
    (folder / "set" / "b.jpg").write_bytes((folder / "set" / "b.jpg").read_bytes()[:2000])
    return folder / "set"


def text_named_png(folder: Path) -> Path:
    write_png(folder / "set" / "a.png")
    (folder / "set" / "b.png").write_text("hello")
    return folder / "set"


def sixteen_bits(folder: Path) -> Path:
    write_png(folder / "set" / "a.png")
    Image.new("I;16", (8, 8)).save(folder / "set" / "b.png")
    return folder / "set"


def bomb(folder: Path) -> Path:
    write_png(folder / "set" / "a.png")
    bomb_png(folder / "set" / "b.png")
    return folder / "set"


def other_format(folder: Path) -> Path:
    write_png(folder / "set" / "a.png")
    (folder / "set" / "b.webp").write_bytes(b"RIFF")
    return folder / "set"


def truncated_npy(folder: Path) -> Path:
    np.save(folder / "x.npy", IMAGES)
    (folder / "x.npy").write_bytes((folder / "x.npy").read_bytes()[:-1])
    return folder / "x.npy"


def damaged_npz(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=np.zeros((50, 64, 64), dtype=np.uint8))
    data = bytearray((folder / "x.npz").read_bytes())
    data[10_000] ^= 1  # in the pixels: only the checksum at the end of the archive's member can tell
    (folder / "x.npz").write_bytes(data)
    return folder / "x.npz"


SKIPPABLE: dict[str, tuple[Callable[[Path], Path], str, int]] = {
    "truncated IDX": (truncated_idx, r"x-images-idx3-ubyte: the file is cut off after 4 of 5 images", 4),
    "truncated gzip": (truncated_gzip, r"x-images-idx3-ubyte\.gz: the gzip file is cut off or damaged", 4),
    "IDX with more than it says": (idx_with_more, r"x-images-idx3-ubyte: the file holds more than its header", 5),
    "mixed sizes": (mixed_sizes, r"b\.png: it has 9 x 8 pixels, .*a\.png\) has 8 x 8: .*--resize", 1),
    "mixed modes": (mixed_modes, r"b\.png: it is RGB, .*a\.png\) is grey: .*--mode", 1),
    "corrupt PNG": (corrupt_png, r"b\.png: it is not a whole PNG or JPEG image", 1),
    "truncated JPEG": (truncated_jpeg, r"b\.jpg: it is not a whole PNG or JPEG image \(.*truncated", 1),
    "text named .png": (text_named_png, r"b\.png: it is not a whole PNG or JPEG image", 1),
    "16-bit PNG": (sixteen_bits, r"b\.png: its pixels have more than 8 bits", 1),
    "decompression bomb": (bomb, r"b\.png: it unpacks to too many pixels", 1),
    "another image format": (other_format, r"b\.webp: only PNG and JPEG files are read", 1),
    "truncated .npy": (truncated_npy, r"x\.npy: the file is cut off: it holds 4 of 5 rows", 4),
    "damaged .npz": (damaged_npz, r"x\.npz\[images\.npy\]: it is damaged, .*CRC", 49),
}


@pytest.mark.parametrize("case", SKIPPABLE)
def test_bad_input_is_named_and_nothing_is_left(case: str, tmp_path: Path) -> None:
    make, message, _ = SKIPPABLE[case]
    source = make(tmp_path)
    destination = tmp_path / "out" / "dataset"
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=message) as caught:
        run(source, destination)
    assert str(tmp_path) in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("case", SKIPPABLE)
def test_skip_bad_leaves_out_and_lists(case: str, tmp_path: Path) -> None:
    make, message, num_left = SKIPPABLE[case]
    source = make(tmp_path)
    imported = run(source, tmp_path / "dataset", skip_bad=True)
    assert imported.dataset.num_images("train") == num_left
    assert len(imported.skipped) == 1
    assert imported.dataset.manifest.provenance.num_skipped == 1
    assert re.search(message, imported.skipped[0])


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    (folder / "empty" / "notes.txt").write_text("no image")
    return folder / "empty"


def half_labelled_folder(folder: Path) -> Path:
    write_png(folder / "set" / "cat" / "a.png")
    write_png(folder / "set" / "b.png")
    return folder / "set"


def npz_of_floats(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=IMAGES / 255.0)
    return folder / "x.npz"


def npz_without_images(folder: Path) -> Path:
    np.savez(folder / "x.npz", pictures=IMAGES, labels=np.zeros(5, int))
    return folder / "x.npz"


def npz_of_objects(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=np.array([{"a": 1}], dtype=object))
    return folder / "x.npz"


def npz_of_vectors(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=IMAGES.reshape(5, 36))
    return folder / "x.npz"


def npz_of_wrong_labels(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=IMAGES, labels=np.zeros(4, int))
    return folder / "x.npz"


def npz_of_negative_labels(folder: Path) -> Path:
    np.savez(folder / "x.npz", images=IMAGES, labels=np.array([0, 1, -1, 0, 0]))
    return folder / "x.npz"


def not_a_zip(folder: Path) -> Path:
    (folder / "x.npz").write_bytes(b"not a zip archive")
    return folder / "x.npz"


def absurd_npy(folder: Path) -> Path:
    return write_npy_header(folder / "x.npy", (1 << 40, 32, 32))


def absurd_image_npy(folder: Path) -> Path:
    return write_npy_header(folder / "x.npy", (1, 1 << 15, 1 << 15))


FATAL: dict[str, tuple[Callable[[Path], Path], str]] = {
    "wrong magic": (wrong_magic, r"x-images-idx3-ubyte is not an IDX file of images: it begins with 0x00000801"),
    "absurd IDX": (absurd_idx, r"x-images-idx3-ubyte: its header names images of 2147483648 x 2147483648"),
    "labels missing": (labels_missing, r"x-labels-idx1-ubyte: it holds 4 labels, and .*x-images-idx3-ubyte holds 5"),
    "empty folder": (empty_folder, r"empty holds no images"),
    "half a folder labelled": (half_labelled_folder, r"b\.png lies in no class folder, while others do \(cat\)"),
    "floats": (npz_of_floats, r"x\.npz\[images\.npy\]: its values are float64, not uint8"),
    "no images": (npz_without_images, r"x\.npz has no array of images: it has labels, pictures"),
    "Python objects": (npz_of_objects, r"x\.npz\[images\.npy\]: it holds Python objects, which are never unpickled"),
    "vectors": (npz_of_vectors, r"x\.npz\[images\.npy\]: its shape is \(5, 36\)"),
    "wrong number of labels": (npz_of_wrong_labels, r"x\.npz\[labels\.npy\]: its shape is \(4,\) of int64"),
    "negative labels": (npz_of_negative_labels, r"x\.npz\[labels\.npy\]: a label is negative"),
    "not a zip archive": (not_a_zip, r"x\.npz: it is damaged, or not a file of numpy arrays"),
    "absurd array": (absurd_npy, r"x\.npy: its header claims an array of \(1099511627776, 32, 32\)"),
    "absurd image": (absurd_image_npy, r"x\.npy: its shape is \(1, 32768, 32768\): not a size of images"),
}


@pytest.mark.parametrize("case", FATAL)
def test_input_that_is_wrong_as_a_whole_is_named(case: str, tmp_path: Path) -> None:
    make, message = FATAL[case]
    source = make(tmp_path)
    for skip_bad in (False, True):
        with pytest.raises(DataError, match=message):
            run(source, tmp_path / "out" / "dataset", skip_bad=skip_bad)
    assert not (tmp_path / "out").exists()


def test_nothing_but_bad_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_text("no")
    with pytest.raises(DataError, match="holds no image that can be read"):
        run(tmp_path / "set", tmp_path / "dataset", skip_bad=True)
    assert not (tmp_path / "dataset").exists()
