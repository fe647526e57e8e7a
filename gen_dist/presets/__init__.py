"""Whole run configurations by name."""

import difflib

from gen_dist.config import RunConfig
from gen_dist.presets import (
    autoregressive,
    baseline,
    biggan,
    boltzmann,
    classifier,
    composed,
    ffjord,
    flow,
    gan,
    gan_families,
    made,
    markov,
    nade,
    progressive,
    translation,
    vae,
)
from gen_dist.presets.preset import Preset

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for module in (
        gan,
        gan_families,
        translation,
        biggan,
        progressive,
        vae,
        autoregressive,
        nade,
        made,
        flow,
        ffjord,
        boltzmann,
        markov,
        composed,
        baseline,
        classifier,
    )
    for preset in module.PRESETS
}


def preset(name: str) -> RunConfig:
    """The configuration of a preset.

    Raises:
        ValueError: there is none of that name; the message names the nearest.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(f"there is no preset {name!r}; {hint}`gen-dist models` lists them")
    return PRESETS[name].build()
