"""Baselines: the floor of every table."""

from gen_dist.presets.preset import Preset

PRESETS: tuple[Preset, ...] = ()
