"""Two-stage families: the second run trains on what the first one's model makes."""

from gen_dist.presets.preset import Preset

PRESETS: tuple[Preset, ...] = ()
