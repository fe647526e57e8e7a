"""Pictures of what a model has learned."""

import io
from dataclasses import dataclass

from PIL import Image

from gen_dist.capabilities import Samples, Translates
from gen_dist.data.dataset import Dataset
from gen_dist.evaluation.protocol import Split
from gen_dist.learner import Learner
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.grids import sample_grid
from gen_dist.sampling.translate import translation_sheet, translations

SHEET_SEED = 0
_SHEET_IMAGES = 64
_TRANSLATIONS = 20
_TRANSLATIONS_IN_A_ROW = 4


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, and the same as a PNG file."""

    image: Image.Image
    png: bytes


def sample_sheet(learner: Learner, dataset: Dataset, split: Split) -> Picture | None:
    """A grid of samples, always from the same noise, so that two sheets of one run compare.

    Of a learner that translates, images of this split beside their sources; None of one that makes no images.
    """
    if isinstance(learner, Samples):
        image = sample_grid(draw_samples(learner, _SHEET_IMAGES, seed=SHEET_SEED))
    elif isinstance(learner, Translates) and dataset.spec.source is not None:
        pairs = dataset.read(split, limit=_TRANSLATIONS, seed=SHEET_SEED)
        assert pairs.sources is not None, "the dataset's spec says that there are sources"
        made = translations(learner, pairs.sources, seed=SHEET_SEED)
        images, together = translation_sheet(made, pairs, dataset.spec)
        image = sample_grid(images, columns=_TRANSLATIONS_IN_A_ROW * together)
    else:
        return None
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return Picture(image, buffer.getvalue())
