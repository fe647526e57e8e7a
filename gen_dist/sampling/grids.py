"""Sheets of images that people can look at: small images are magnified by whole pixels, never blurred."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gen_dist.data.storage import open_storage

PADDING = 2
"""Pixels between images, after magnification."""
BACKGROUND = 255
GREY = 160
"""A background that both black and white edges of images stand out from."""
READABLE_PIXELS = 64
"""Images are magnified until their longer side has about so many pixels."""
LABEL_MARGIN = 6
LABEL_SIZE = 13
"""Of labels, in pixels."""


def sample_grid(
    images: UInt8[Tensor, "n c h w"],
    columns: int | None = None,
    scale: int | None = None,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    background: int = BACKGROUND,
    gaps: Sequence[int] = (),
) -> Image.Image:
    """Images side by side, row by row.

    Args:
        images: what to show, 1 or more.
        columns: images in a row; by default the sheet is about square.
        scale: whole factor of magnification; by default small images become about 64 pixels wide.
        row_labels: one text per row, written at its left.
        column_labels: one text per column, written above it; it runs on over columns that have an empty one.
        background: value between images and where there are none; labels stand on white.
        gaps: numbers of columns that begin a new block, which a white gap sets apart.

    Raises:
        ValueError: there are no images, an argument is below 1, or the labels do not match the rows or columns.
    """
    num, channels, height, width = images.shape
    if num == 0:
        raise ValueError("there are no images to show")
    columns = math.ceil(math.sqrt(num)) if columns is None else columns
    scale = max(1, READABLE_PIXELS // max(height, width)) if scale is None else scale
    if columns < 1 or scale < 1:
        raise ValueError(f"columns is {columns} and scale is {scale}: both must be at least 1")
    rows = math.ceil(num / columns)
    if row_labels and len(row_labels) != rows:
        raise ValueError(f"{len(row_labels)} row labels for {rows} rows: give one per row")
    if column_labels and len(column_labels) != columns:
        raise ValueError(f"{len(column_labels)} column labels for {columns} columns: give one per column")
    cell_height, cell_width = height * scale + PADDING, width * scale + PADDING
    gap = cell_width // 3
    lefts = [column * cell_width + gap * sum(begin <= column for begin in gaps) for column in range(columns)]
    sheet = torch.full((channels, rows * cell_height + PADDING, lefts[-1] + cell_width + PADDING), background).byte()
    for begin in gaps:
        sheet[:, :, lefts[begin] - gap + PADDING : lefts[begin]] = BACKGROUND
    large = images.cpu().repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    for index, image in enumerate(large):
        top, left = index // columns * cell_height + PADDING, lefts[index % columns] + PADDING
        sheet[:, top : top + height * scale, left : left + width * scale] = image
    picture = to_picture(sheet)
    if column_labels:
        picture = _with_column_labels(picture, column_labels, lefts)
    return _with_row_labels(picture, row_labels, cell_height) if row_labels else picture


def to_picture(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """One image as a picture: mode "L" for 1 channel, "RGB" for 3."""
    pixels: np.ndarray = image.cpu().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[:, :, 0] if image.shape[0] == 1 else pixels)


def blank_images(num: int, like: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "num c h w"]:
    """Images that can't be told from a grey background, for places of a sheet that stay empty."""
    return torch.full((num, *like.shape[1:]), GREY, dtype=torch.uint8)


def save_grid(
    images: UInt8[Tensor, "n c h w"], path: Path, columns: int | None = None, row_labels: Sequence[str] = ()
) -> None:
    """Write a sheet of images as PNG, whole or not at all; folders are made as needed.

    Raises:
        ValueError: the file's name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} is no name for a sheet of images: let it end in .png")
    buffer = io.BytesIO()
    sample_grid(images, columns, row_labels=row_labels).save(buffer, format="PNG")
    open_storage(path.absolute().parent).write_bytes(path.name, buffer.getvalue())


def _with_row_labels(picture: Image.Image, labels: Sequence[str], cell_height: int) -> Image.Image:
    """Labels beside the rows, which end at the picture's lower edge."""
    font = ImageFont.load_default(size=LABEL_SIZE)
    width = math.ceil(max(font.getlength(text) for text in labels)) + 2 * LABEL_MARGIN
    labelled = Image.new(picture.mode, (picture.width + width, picture.height), "white")
    labelled.paste(picture, (width, 0))
    pen = ImageDraw.Draw(labelled)
    top = picture.height - len(labels) * cell_height
    for row, text in enumerate(labels):
        middle = top + row * cell_height + (cell_height - PADDING) // 2
        pen.text((width - LABEL_MARGIN, middle), text, fill="black", font=font, anchor="rm")
    return labelled


def _with_column_labels(picture: Image.Image, labels: Sequence[str], lefts: Sequence[int]) -> Image.Image:
    font = ImageFont.load_default(size=LABEL_SIZE)
    height = LABEL_SIZE + 2 * LABEL_MARGIN
    labelled = Image.new(picture.mode, (picture.width, picture.height + height), "white")
    labelled.paste(picture, (0, height))
    pen = ImageDraw.Draw(labelled)
    for left, text in zip(lefts, labels, strict=True):
        pen.text((left + PADDING, height - LABEL_MARGIN // 2), text, fill="black", font=font, anchor="ld")
    return labelled
