"""Markov chains whose stationary distribution is the model."""

from gen_dist.presets.preset import Preset

PRESETS: tuple[Preset, ...] = ()
