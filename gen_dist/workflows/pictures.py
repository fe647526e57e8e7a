"""Pictures of what a model has learned."""

import io
from dataclasses import dataclass

from PIL import Image

from gen_dist.learner import Learner, Samples
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.grids import sample_grid

SHEET_SEED = 0
_SHEET_IMAGES = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, and the same as a PNG file."""

    image: Image.Image
    png: bytes


def sample_sheet(learner: Learner, num: int = _SHEET_IMAGES) -> Picture | None:
    """A grid of samples, always from the same noise, so that two sheets of one run compare; None if it can't sample."""
    if not isinstance(learner, Samples):
        return None
    image = sample_grid(draw_samples(learner, num, seed=SHEET_SEED))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return Picture(image, buffer.getvalue())
