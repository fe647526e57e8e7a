"""Which presets compete on a dataset: those that suit its images and can be judged, or those that somebody names."""

import fnmatch
from collections.abc import Sequence

import torch

from gen_dist.capabilities import Samples, Scores, Translates
from gen_dist.learner import Learner
from gen_dist.presets import PRESETS, preset
from gen_dist.types import DataSpec


def fits_data(name: str, spec: DataSpec) -> Learner:
    """The preset's network, built without memory.

    Raises:
        ValueError: it does not suit the data; the message names the preset.
    """
    try:
        with torch.device("meta"):
            return preset(name).model.build(spec)
    except ValueError as error:
        raise ValueError(f"preset {name} does not suit these images: {error}") from error


def suitable_presets(spec: DataSpec) -> list[str]:
    """Presets for images of this size, with these labels, that can be judged; only the last of a family's stages."""
    side = str(max(spec.height, spec.width))
    earlier = {row.foundation for row in PRESETS.values()}
    return [name for name in PRESETS if name.rsplit("-", 1)[-1] == side and name not in earlier and _suits(name, spec)]


def _suits(name: str, spec: DataSpec) -> bool:
    try:
        return can_be_judged(fits_data(name, spec))
    except ValueError:
        return False


def can_be_judged(learner: Learner) -> bool:
    """Whether it draws, translates or scores images: an autoencoder and a classifier do nothing of it."""
    return isinstance(learner, Samples | Scores | Translates)


def chosen_presets(patterns: Sequence[str], spec: DataSpec) -> tuple[str, ...]:
    """The presets that names and patterns ("realnvp-*") choose; without any, all that suit the images.

    Raises:
        ValueError: a pattern fits none, or no preset suits such images.
    """
    if not patterns:
        suitable = suitable_presets(spec)
        if not suitable:
            raise ValueError(
                f"no preset is made for {spec.height}x{spec.width} images: name presets (`gen-dist models` lists them)"
            )
        return tuple(suitable)
    chosen: dict[str, None] = {}
    for pattern in patterns:
        fitting = fnmatch.filter(PRESETS, pattern)
        if not fitting:
            raise ValueError(f"no preset is called {pattern!r}; `gen-dist models` lists them")
        chosen.update(dict.fromkeys(fitting))
    return tuple(chosen)
