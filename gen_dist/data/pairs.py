"""Pairs out of one set of images: what an image is to be made from is computed from it, or lies in the same file."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage

from gen_dist.data.errors import DataError
from gen_dist.data.sources.source import Pixels
from gen_dist.data.transform import Transform

PAIRS = "edges, grey, low-resolution:FACTOR, left or right"
EDGE_SHARE = 0.2
# Tangent of 22.5 degrees: gradients flatter than this point along the rows.
FLAT = 0.41421356237309503


@runtime_checkable
class PairRule(Protocol):
    """Makes an image and its source from the pixels of one example."""

    def __call__(self, pixels: Pixels, transform: Transform) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The image and its source to store, each (height, width, 1 or 3).

        Raises:
            DataError: these pixels give no such pair.
        """


@final
@dataclass(frozen=True, slots=True)
class Edges:
    """The source is a drawing of the image's edges: thin, white on black.

    An edge is where the gradient (Sobel's) is a local maximum along its own direction, as J. Canny proposed ("A
    Computational Approach to Edge Detection", 1986; without his smoothing and hysteresis), and not small beside the
    largest of the image.

    Attributes:
        share: of the image's largest gradient, below which there is no edge.
    """

    share: float = EDGE_SHARE

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"the share of edges is {self.share}: it must be above 0 and at most 1")

    def __call__(self, pixels: Pixels, transform: Transform) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """See PairRule."""
        image = transform(pixels)
        return image, edges(image, self.share)

    def __str__(self) -> str:
        return "edges" if self.share == EDGE_SHARE else f"edges:{self.share}"


@final
@dataclass(frozen=True, slots=True)
class Grey:
    """The source is the image without its colours (colourisation)."""

    def __call__(self, pixels: Pixels, transform: Transform) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """See PairRule."""
        image = transform(pixels)
        if image.shape[-1] == 1:
            raise DataError("it is grey already: --pairs grey needs images in colour")
        return image, _grey(image)[..., None]

    def __str__(self) -> str:
        return "grey"


@final
@dataclass(frozen=True, slots=True)
class LowResolution:
    """The source is the image made smaller (bicubic, antialiased): super-resolution.

    Attributes:
        factor: by which height and width are divided.
    """

    factor: int

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise ValueError(f"the factor of low-resolution is {self.factor}: it must be at least 2")

    def __call__(self, pixels: Pixels, transform: Transform) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """See PairRule."""
        image = transform(pixels)
        height, width, channels = image.shape
        if height % self.factor or width % self.factor:
            raise DataError(
                f"its {width} x {height} pixels can't be divided by {self.factor}: choose another size with --resize "
                "and --crop"
            )
        size = (width // self.factor, height // self.factor)
        small = np.asarray(_pillow(image).resize(size, Image.Resampling.BICUBIC))
        return image, small.reshape(size[1], size[0], channels)

    def __str__(self) -> str:
        return f"low-resolution:{self.factor}"


@final
@dataclass(frozen=True, slots=True)
class Half:
    """Image and source lie side by side in one file, as pix2pix publishes its sets.

    Attributes:
        source_is_left: which half is the source.
    """

    source_is_left: bool

    def __call__(self, pixels: Pixels, transform: Transform) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """See PairRule."""
        halves = _halves(pixels)
        source, image = halves if self.source_is_left else halves[::-1]
        return transform(image), transform(source)

    def __str__(self) -> str:
        return "left" if self.source_is_left else "right"


def pair_rule(text: str) -> PairRule:
    """The rule that a user named.

    Args:
        text: "edges", "edges:SHARE", "grey", "low-resolution:FACTOR", "left" or "right".
    """
    name, has_number, number = text.partition(":")
    plain: dict[str, PairRule] = {
        "edges": Edges(),
        "grey": Grey(),
        "left": Half(source_is_left=True),
        "right": Half(source_is_left=False),
    }
    try:
        if not has_number and name in plain:
            return plain[name]
        if name == "edges":
            return Edges(float(number))
        if name == "low-resolution":
            return LowResolution(int(number))
    except ValueError as error:
        raise ValueError(f"--pairs is {text!r} ({error}): it is {PAIRS}") from error
    raise ValueError(f"--pairs is {text!r}: it is {PAIRS}")


def edges(image: NDArray[np.uint8], share: float = EDGE_SHARE) -> NDArray[np.uint8]:
    """The edges of an image (height, width, 1 or 3): 255 on 0, (height, width, 1). See `Edges`."""
    grey = (_grey(image) if image.shape[-1] == 3 else image[..., 0]).astype(np.int64)
    # Whole numbers up to here and in the squares, so that every machine finds the same edges.
    across, down = ndimage.sobel(grey, axis=1, mode="nearest"), ndimage.sobel(grey, axis=0, mode="nearest")
    squared = across * across + down * down
    flat, steep = np.abs(down) <= FLAT * np.abs(across), np.abs(across) <= FLAT * np.abs(down)
    falling = (across * down > 0) & ~flat & ~steep
    around = np.pad(squared, 1)
    height, width = squared.shape

    def neighbour(row: int, column: int) -> NDArray[np.int64]:
        return around[1 + row : 1 + row + height, 1 + column : 1 + column + width]

    directions = ((flat, 0, 1), (steep & ~flat, 1, 0), (falling, 1, 1), (~flat & ~steep & ~falling, 1, -1))
    largest = np.zeros_like(flat)
    for points_there, row, column in directions:
        # Of two equal neighbours one is kept: an edge between two pixels is drawn once.
        largest |= points_there & (squared >= neighbour(row, column)) & (squared > neighbour(-row, -column))
    drawn = largest & (squared > 0) & (squared >= share * share * squared.max())
    return np.where(drawn, 255, 0).astype(np.uint8)[..., None]


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).convert("L"))


def _pillow(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _halves(pixels: Pixels) -> tuple[Pixels, Pixels]:
    upright = pixels if isinstance(pixels, np.ndarray) else ImageOps.exif_transpose(pixels)
    height, width = upright.shape[:2] if isinstance(upright, np.ndarray) else upright.size[::-1]
    if width % 2:
        raise DataError(f"it has {width} x {height} pixels: a pair side by side has an even width")
    middle = width // 2
    if isinstance(upright, np.ndarray):
        return upright[:, :middle], upright[:, middle:]
    return upright.crop((0, 0, middle, height)), upright.crop((middle, 0, width, height))
