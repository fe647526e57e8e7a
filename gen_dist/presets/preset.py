"""What a preset is."""

from collections.abc import Callable
from dataclasses import dataclass

from gen_dist.config import RunConfig
from gen_dist.optimization import LearningRateSchedule

SCORING_DRAWS = 50
"""Of the importance-weighted bound that all latent variable models are scored by, so that their bounds compare."""


def cosine(images: int) -> LearningRateSchedule:
    """The learning rate falls along half a cosine to a twentieth over so many images."""
    return LearningRateSchedule(decay="cosine", decay_end_images=images, final_factor=0.05)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A named, complete run configuration.

    Attributes:
        name: what `gen-dist train NAME` takes.
        summary: one line for people: what it trains, on what, in about what time.
        build: returns the configuration.
        foundation: preset of the first model, for the second of a two-stage family.
    """

    name: str
    summary: str
    build: Callable[[], RunConfig]
    foundation: str | None = None
