"""From the pixels of a source to the pixels that are stored: grey or RGB, resized, cropped."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gen_dist.data.errors import DataError
from gen_dist.data.sources.source import Pixels

Mode = Literal["grey", "rgb"]
PILLOW_MODE: dict[Mode, str] = {"grey": "L", "rgb": "RGB"}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """What is done to every image, in this order.

    Attributes:
        mode: "grey" or "rgb"; None keeps what the first image has.
        resize: the shorter side becomes this many pixels (antialiased), the proportions stay.
        crop: the central square of this many pixels is kept.
    """

    mode: Mode | None = None
    resize: int | None = None
    crop: int | None = None

    def __post_init__(self) -> None:
        for name, size in (("resize", self.resize), ("crop", self.crop)):
            if size is not None and size < 1:
                raise ValueError(f"{name} is {size}: it must be at least 1 pixel")
        if self.resize is not None and self.crop is not None and self.crop > self.resize:
            raise ValueError(f"crop ({self.crop}) is larger than resize ({self.resize}): it must fit inside")

    def __call__(self, pixels: Pixels) -> NDArray[np.uint8]:
        """The pixels to store.

        Args:
            pixels: a Pillow image, or an array (height, width, 1 or 3).

        Returns:
            An array (height, width, 1 or 3).

        Raises:
            DataError: the image has 16-bit pixels or is smaller than the crop.
        """
        if isinstance(pixels, np.ndarray):
            if self.resize is None and self.crop is None and self.mode in (None, _mode_of(pixels)):
                return pixels
            image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        else:
            image = ImageOps.exif_transpose(pixels)
        image = _to_mode(image, self.mode)
        if self.resize is not None:
            image = _resize(image, self.resize)
        if self.crop is not None:
            image = _crop(image, self.crop)
        array = np.asarray(image)
        return array[..., None] if array.ndim == 2 else array


@final
class OneShape:
    """Holds images to the shape of the first one.

    Args:
        what: "image" or "source", for messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._where = ""
        self.shape: tuple[int, ...] | None = None

    def check(self, image: NDArray[np.uint8], where: str) -> None:
        """Take the first image's shape as everybody's.

        Raises:
            DataError: this image has another one.
        """
        if self.shape is None:
            self._where, self.shape = where, image.shape
        shape, first = self.shape, f"the first {self._what} ({self._where})"
        if image.shape[:2] != shape[:2]:
            raise DataError(
                f"it has {image.shape[1]} x {image.shape[0]} pixels, and {first} has {shape[1]} x {shape[0]}: bring "
                "all to one size with --resize and --crop"
            )
        if image.shape != shape:
            kinds = {1: "grey", 3: "RGB"}
            raise DataError(
                f"it is {kinds[image.shape[2]]}, and {first} is {kinds[shape[2]]}: bring all to one kind with "
                "--mode grey or --mode rgb"
            )


def _mode_of(pixels: NDArray[np.uint8]) -> Mode:
    return "grey" if pixels.shape[-1] == 1 else "rgb"


def _to_mode(image: Image.Image, mode: Mode | None) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        raise DataError("its pixels have more than 8 bits: convert it to an 8-bit image")
    is_grey = image.mode in ("1", "L", "LA", "La")
    wanted = PILLOW_MODE[mode or ("grey" if is_grey else "rgb")]
    if image.has_transparency_data:
        # What lies under transparent pixels is arbitrary: show the image as a page would.
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(page, layer)
    return image.convert(wanted)


def _resize(image: Image.Image, shorter: int) -> Image.Image:
    scale = shorter / min(image.size)
    width, height = (max(shorter, round(side * scale)) for side in image.size)
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)


def _crop(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    if width < size or height < size:
        raise DataError(f"it has {width} x {height} pixels, too few for a crop of {size}: use --resize")
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
