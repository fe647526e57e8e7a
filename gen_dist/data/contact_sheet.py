"""One picture of a dataset: a row of images for every class, its name before them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gen_dist.types import DataSpec, ImageBatch

IMAGES_PER_ROW = 12
LEAST_CELL = 32
GAP = 2
MAX_ROWS = 100
PAPER, INK = (255, 255, 255), (0, 0, 0)


def contact_sheet(batch: ImageBatch, spec: DataSpec) -> Image.Image:
    """Draw the first images of each class, at most `MAX_ROWS` classes; unlabelled images in rows as they come.

    Args:
        batch: images to choose from.
        spec: of the dataset.
    """
    rows = _rows(batch, spec)
    scale = max(1, -(-LEAST_CELL // max(spec.height, spec.width)))
    width, height = spec.width * scale + GAP, spec.height * scale + GAP
    font = ImageFont.load_default(size=12)
    margin = max((int(font.getlength(name)) for name, _ in rows), default=0) + 2 * GAP
    sheet = Image.new("RGB", (margin + IMAGES_PER_ROW * width + GAP, len(rows) * height + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    pixels = batch.images.permute(0, 2, 3, 1).numpy()
    for row, (name, members) in enumerate(rows):
        top = row * height + GAP
        draw.text((GAP, top + (height - GAP) // 2), name, fill=INK, font=font, anchor="lm")
        for column, member in enumerate(members):
            image = Image.fromarray(pixels[member].squeeze(-1) if spec.channels == 1 else pixels[member])
            image = image.resize((width - GAP, height - GAP), Image.Resampling.NEAREST)
            sheet.paste(image, (margin + column * width, top))
    return sheet


def _rows(batch: ImageBatch, spec: DataSpec) -> list[tuple[str, list[int]]]:
    if batch.labels is None:
        starts = range(0, min(len(batch), IMAGES_PER_ROW * IMAGES_PER_ROW), IMAGES_PER_ROW)
        return [("", list(range(start, min(start + IMAGES_PER_ROW, len(batch))))) for start in starts]
    labels = batch.labels.numpy()
    return [
        (name, [int(member) for member in np.flatnonzero(labels == label)[:IMAGES_PER_ROW]])
        for label, name in enumerate(spec.class_names[:MAX_ROWS])
    ]
