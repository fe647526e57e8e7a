"""Whole run configurations by name."""

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
        ValueError: there is none of that name; the message lists those that exist.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; choose from: {', '.join(PRESETS)}")
    return PRESETS[name].build()
