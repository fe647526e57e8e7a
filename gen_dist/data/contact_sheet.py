"""One picture of a dataset: a row of images for every class, its name before them.

What an image is to be made from stands to the left of it, its caption below it.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gen_dist.data.captions import decode_captions
from gen_dist.types import DataSpec, ImageBatch

CELLS_PER_ROW = 12
CELLS_PER_ROW_OF_PAIRS = 6
LEAST_CELL = 32
LEAST_CAPTIONED_CELL = 96
GAP = 2
MAX_ROWS = 100
CAPTION_LINES, CAPTION_LINE = 3, 12
PAPER, INK = (255, 255, 255), (0, 0, 0)


def contact_sheet(batch: ImageBatch, spec: DataSpec) -> Image.Image:
    """Draw the first images of each class, at most `MAX_ROWS` classes; unlabelled images in rows as they come.

    Args:
        batch: images to choose from.
        spec: of the dataset.
    """
    cells = _Cells(batch, spec)
    rows = _rows(batch, spec, cells.num_per_row)
    width, height = cells.width + GAP, cells.height + GAP
    font = ImageFont.load_default(size=12)
    margin = max((int(font.getlength(name)) for name, _ in rows), default=0) + 2 * GAP
    sheet = Image.new("RGB", (margin + cells.num_per_row * width + GAP, len(rows) * height + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (name, members) in enumerate(rows):
        top = row * height + GAP
        draw.text((GAP, top + cells.height // 2), name, fill=INK, font=font, anchor="lm")
        for column, member in enumerate(members):
            sheet.paste(cells.draw(member), (margin + column * width, top))
    return sheet


@final
@dataclass(frozen=True, slots=True)
class _Picture:
    """Images of one kind, all drawn at one size."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]

    def draw(self, index: int) -> Image.Image:
        pixels = self.pixels[index].transpose(1, 2, 0)
        image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        return image.resize(self.size, Image.Resampling.NEAREST)


@final
class _Cells:
    """What is drawn of one example: its source, the image, the caption."""

    def __init__(self, batch: ImageBatch, spec: DataSpec) -> None:
        least = LEAST_CAPTIONED_CELL if batch.captions is not None else LEAST_CELL
        scale = max(1, -(-least // max(spec.height, spec.width)))
        self._height = spec.height * scale
        self._pictures = [_Picture(batch.images.numpy(), (spec.width * scale, self._height))]
        if batch.sources is not None and spec.source is not None:
            width = max(1, round(spec.source.width * self._height / spec.source.height))
            self._pictures.insert(0, _Picture(batch.sources.numpy(), (width, self._height)))
        self._captions = None if batch.captions is None else decode_captions(batch.captions)
        self._font = ImageFont.load_default(size=10)
        self.num_per_row = CELLS_PER_ROW_OF_PAIRS if len(self._pictures) > 1 else CELLS_PER_ROW
        self.width = sum(picture.size[0] for picture in self._pictures)
        self.height = self._height + (CAPTION_LINES * CAPTION_LINE if self._captions is not None else 0)

    def draw(self, index: int) -> Image.Image:
        cell = Image.new("RGB", (self.width, self.height), PAPER)
        left = 0
        for picture in self._pictures:
            cell.paste(picture.draw(index), (left, 0))
            left += picture.size[0]
        if self._captions is not None:
            draw = ImageDraw.Draw(cell)
            for line, words in enumerate(self._lines(self._captions[index])):
                draw.text((0, self._height + line * CAPTION_LINE), words, fill=INK, font=self._font)
        return cell

    def _lines(self, caption: str) -> list[str]:
        """The beginning of a caption, broken between words where they fit."""
        lines = [""]
        for word in caption.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and self._font.getlength(longer) > self.width - 3 * GAP:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines[:CAPTION_LINES]


def _rows(batch: ImageBatch, spec: DataSpec, num_per_row: int) -> list[tuple[str, list[int]]]:
    if batch.labels is None:
        starts = range(0, min(len(batch), CELLS_PER_ROW * num_per_row), num_per_row)
        return [("", list(range(start, min(start + num_per_row, len(batch))))) for start in starts]
    labels = batch.labels.numpy()
    return [
        (name, [int(member) for member in np.flatnonzero(labels == label)[:num_per_row]])
        for label, name in enumerate(spec.class_names[:MAX_ROWS])
    ]
