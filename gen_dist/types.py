"""The values that every part of gen_dist passes around: what the data is, one batch of it, and what time it is."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """The only clock of a run. Every schedule (learning rate, fade, number of repeats) is a pure function of it.

    Attributes:
        round: number of completed training rounds.
        samples_seen: number of training images drawn so far; also the cursor of the data stream.
        stage: index of the curriculum's stage (0 without a curriculum).
        stage_progress: position inside the stage, in [0, 1].
        stages_left: how many stages come after this one.
    """

    round: int = 0
    samples_seen: int = 0
    stage: int = 0
    stage_progress: float = 0.0
    stages_left: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSpec:
    """What stands beside each image of a dataset for translation: the image that it is to be made from.

    Attributes:
        channels: 1 (grey) or 3 (red, green, blue).
        height: in pixels.
        width: in pixels.
        paired: whether each source belongs to its image. Sources of an unpaired set meet other images in every epoch.
    """

    channels: int
    height: int
    width: int
    paired: bool = True

    def __post_init__(self) -> None:
        _check_image_shape("source ", self.channels, self.height, self.width)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one source: (channels, height, width)."""
        return self.channels, self.height, self.width


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec:
    """What a learner must know of a dataset before it can be built.

    Attributes:
        channels: 1 (grey) or 3 (red, green, blue).
        height: in pixels.
        width: in pixels.
        class_names: one name per label value; empty for unlabelled data.
        source: what images are translated from, or None where there is nothing to translate.
        caption_bytes: length of the longest caption in UTF-8; 0 for data without captions.
    """

    channels: int
    height: int
    width: int
    class_names: tuple[str, ...] = field(default=())
    source: SourceSpec | None = None
    caption_bytes: int = 0

    def __post_init__(self) -> None:
        _check_image_shape("", self.channels, self.height, self.width)
        if self.caption_bytes < 0:
            raise ValueError(f"caption_bytes is {self.caption_bytes}: it must be 0 or more")

    @property
    def num_classes(self) -> int:
        """Number of labels, 0 for unlabelled data."""
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image: (channels, height, width)."""
        return self.channels, self.height, self.width

    @property
    def num_dimensions(self) -> int:
        """Number of values in one image, the denominator of bits per dimension."""
        return self.channels * self.height * self.width


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageBatch:
    """Images as they are stored: 8-bit. Each learner chooses its own scale with `to_signed` or `to_unit`.

    Attributes:
        images: values 0..255.
        labels: class of each image, or None for unlabelled data.
        sources: what each image is to be made from (`DataSpec.source`), or None.
        captions: UTF-8 bytes of each image's caption, filled up with zeros to `DataSpec.caption_bytes`, or None.
    """

    images: UInt8[Tensor, "b c h w"]
    labels: Int64[Tensor, " b"] | None = None
    sources: UInt8[Tensor, "b s i j"] | None = None
    captions: UInt8[Tensor, "b l"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device, memory_format: torch.memory_format = torch.contiguous_format) -> "ImageBatch":
        """Copy to a device; asynchronous when the tensors lie in pinned memory."""
        images = self.images.to(device, non_blocking=True, memory_format=memory_format)
        labels = None if self.labels is None else self.labels.to(device, non_blocking=True)
        captions = None if self.captions is None else self.captions.to(device, non_blocking=True)
        sources = self.sources
        if sources is not None:
            sources = sources.to(device, non_blocking=True, memory_format=memory_format)
        return ImageBatch(images=images, labels=labels, sources=sources, captions=captions)


@runtime_checkable
class ImageSource(Protocol):
    """Training images in an endless shuffled order, addressed by position: no cursor, so nothing to restore."""

    @property
    def spec(self) -> DataSpec:
        """What the images are."""

    @property
    def num_images(self) -> int:
        """Images in one epoch."""

    def take(self, start: int, count: int) -> ImageBatch:
        """The images at positions [start, start + count)."""

    def prefetch(self, start: int, count: int) -> None:
        """A hint that this slice will be taken soon."""


def _check_image_shape(prefix: str, channels: int, height: int, width: int) -> None:
    if channels not in (1, 3):
        raise ValueError(f"{prefix}channels is {channels}: images have 1 (grey) or 3 (RGB) channels")
    if height < 1 or width < 1:
        raise ValueError(f"{prefix}height x width is {height} x {width}: both must be at least 1 pixel")


def to_signed(images: UInt8[Tensor, "*shape"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """8-bit images scaled to [-1, 1], the range of tanh."""
    return images.to(dtype) / 127.5 - 1.0


def to_unit(images: UInt8[Tensor, "*shape"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """8-bit images scaled to [0, 1]."""
    return images.to(dtype) / 255.0


def from_signed(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Images in [-1, 1] rounded to the nearest 8-bit value; values outside are clamped."""
    return ((images.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_unit(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Images in [0, 1] rounded to the nearest 8-bit value; values outside are clamped."""
    return (images.float() * 255.0).round().clamp(0, 255).to(torch.uint8)
