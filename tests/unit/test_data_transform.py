"""Resizing, cropping and colour: by hand on small images."""

import numpy as np
import pytest
from PIL import Image

from gen_dist.data.errors import DataError
from gen_dist.data.transform import Transform


def test_arrays_that_fit_are_left_alone() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert Transform()(pixels) is pixels
    assert Transform(mode="rgb")(pixels) is pixels


def test_resize_sets_the_shorter_side_and_keeps_proportions() -> None:
    wide = np.zeros((10, 30, 1), dtype=np.uint8)
    assert Transform(resize=5)(wide).shape == (5, 15, 1)
    assert Transform(resize=20)(wide).shape == (20, 60, 1)
    assert Transform(resize=5, crop=5)(wide).shape == (5, 5, 1)


def test_resize_averages() -> None:
    # A fine checkerboard has no aliasing left after shrinking: it is the mean grey.
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    small = Transform(resize=8)(board)
    assert np.abs(small.astype(int) - 128).max() <= 2


def test_crop_keeps_the_middle() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(6, 6, 1)
    assert np.array_equal(Transform(crop=2)(pixels), pixels[2:4, 2:4])
    with pytest.raises(DataError, match=r"it has 6 x 6 pixels, too few for a crop of 7: use --resize"):
        Transform(crop=7)(pixels)


def test_grey_and_rgb() -> None:
    red = np.zeros((2, 2, 3), dtype=np.uint8)
    red[..., 0] = 255
    grey = Transform(mode="grey")(red)
    assert grey.shape == (2, 2, 1)
    assert grey[0, 0, 0] == 76  # 0.299 * 255, ITU-R 601
    back = Transform(mode="rgb")(grey)
    assert back.shape == (2, 2, 3)
    assert (back == 76).all()


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("P", 3), ("RGB", 3), ("CMYK", 3), ("RGBA", 3), ("LA", 1)]
)
def test_images_keep_their_kind(mode: str, channels: int) -> None:
    assert Transform()(Image.new(mode, (3, 2))).shape == (2, 3, channels)


def test_transparent_pixels_are_white() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    assert Transform()(image).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    image = Image.new("P", (1, 1))
    image.info["transparency"] = 0
    assert Transform()(image).tolist() == [[[255, 255, 255]]]


def test_rotated_photographs_stand_upright() -> None:
    image = Image.new("L", (4, 2))
    image.getexif()[0x0112] = 6  # the camera was turned by 90 degrees
    assert Transform()(image).shape == (4, 2, 1)


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_more_than_eight_bits_are_refused(mode: str) -> None:
    with pytest.raises(DataError, match="its pixels have more than 8 bits"):
        Transform()(Image.new(mode, (2, 2)))


@pytest.mark.parametrize("sizes", [{"resize": 0}, {"crop": -1}, {"resize": 8, "crop": 9}])
def test_sizes_that_mean_nothing_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"resize|crop"):
        Transform(**sizes)
