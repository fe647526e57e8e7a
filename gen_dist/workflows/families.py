"""Which families can do what."""

from collections.abc import Sequence

import torch

from gen_dist.capabilities import capabilities
from gen_dist.learner import Learner, ModelConfig
from gen_dist.models.table import FAMILIES, Family
from gen_dist.presets import PRESETS
from gen_dist.presets.preset import Preset
from gen_dist.types import DataSpec, SourceSpec

# What a family can do does not depend on the data; the first of these that its preset accepts is built to ask it.
PROBES = tuple(
    DataSpec(
        channels=channels,
        height=size,
        width=size,
        class_names=tuple("0123456789"),
        source=SourceSpec(channels=channels, height=size, width=size),
        caption_bytes=64,
    )
    for channels, size in ((1, 8), (1, 28), (1, 32), (3, 32), (3, 64), (3, 128))
)


def presets_of(family: Family) -> list[Preset]:
    """The presets of a family."""
    return [preset for preset in PRESETS.values() if type(preset.build().model) is family.config]


def any_learner(presets: Sequence[Preset]) -> Learner:
    """A learner of the family on the meta device, where building it costs no memory and no time."""
    refusals = []
    for preset in presets:
        config: ModelConfig = preset.build().model
        for spec in PROBES:
            try:
                with torch.device("meta"):
                    return config.build(spec)
            except ValueError as refusal:
                refusals.append(f"{preset.name} of {spec.shape}: {refusal}")
    raise ValueError(f"no preset of the family builds on any usual image: {'; '.join(refusals)}")


def families_that(*abilities: str) -> tuple[str, ...]:
    """Names of the families with all of these capabilities ("decodes"), in the table's order."""
    return tuple(
        family.name for family in FAMILIES if set(abilities) <= {*capabilities(any_learner(presets_of(family)))}
    )


def require(learner: Learner, task: str, *abilities: str) -> None:
    """Refuse a model that lacks a capability.

    Args:
        learner: the model.
        task: what it is asked for, to complete "can't ...".
        abilities: names of the capabilities that the task takes.

    Raises:
        ValueError: it lacks one; the message says what it lacks and which families have it.
    """
    own = capabilities(learner)
    lacking = [ability for ability in abilities if ability not in own]
    if lacking:
        raise ValueError(
            f"{type(learner).__name__} can't {task}: it lacks {' and '.join(repr(name) for name in lacking)} (it "
            f"{', '.join(own) or 'only trains'}); families that can: {', '.join(families_that(*abilities))}"
        )
