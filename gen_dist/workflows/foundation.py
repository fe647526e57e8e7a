"""Two-stage families: the second run holds the first one's model, frozen, from its first round on.

What the first model is stands in its bundle, so a new run takes that part of its configuration from there. From then
on configuration, checkpoints and bundle are self-contained: none of them needs the first bundle again.
"""

import dataclasses
from typing import Any, Protocol, get_args, get_type_hints, runtime_checkable

from gen_dist.bundle.bundle import Bundle, load_bundle
from gen_dist.capabilities import BuildsOn
from gen_dist.config import RunConfig
from gen_dist.models.table import FAMILIES, AnyModelConfig, family_of
from gen_dist.presets import PRESETS
from gen_dist.training.checkpoint import Checkpoint, restore
from gen_dist.training.training import Training
from gen_dist.types import DataSpec


@runtime_checkable
class SecondStage(Protocol):
    """The configuration of a model that builds on another.

    Attributes:
        foundation: the other's configuration; its type says which families will do.
    """

    @property
    def foundation(self) -> AnyModelConfig:
        """Of the first model."""


def with_foundation(config: RunConfig, spec: DataSpec) -> RunConfig:
    """The configuration of a new run, with that of the first model taken from its bundle; others are as they were.

    Every new run passes through here before it is written down.

    Args:
        config: names the bundle.
        spec: of the data that the run will see.

    Raises:
        ValueError: a second stage names no bundle or a wrong one, or a model with one stage names one.
    """
    if not isinstance(config.model, SecondStage):
        if config.foundation is not None:
            raise ValueError(
                f"foundation is {config.foundation}: {family_of(config.model).name} builds on no other model, so "
                "leave it out"
            )
        return config
    bundle = _fitting(config, config.model, spec)
    model: Any = config.model
    return dataclasses.replace(config, model=dataclasses.replace(model, foundation=bundle.config))


def set_out(training: Training, config: RunConfig, checkpoint: Checkpoint | None) -> None:
    """Put a freshly built run where it begins: at its checkpoint, or at the start with its foundation laid.

    Raises:
        ValueError: the foundation's bundle is missing, or not the one that the run was created with; or the checkpoint
            does not fit the model.
    """
    if checkpoint is not None:
        restore(training, checkpoint)
    elif isinstance(config.model, SecondStage):
        learner = training.state.learner
        assert isinstance(learner, BuildsOn), "a second stage's learner holds the first one's"
        bundle = _fitting(config, config.model, training.stream.spec)
        if bundle.config != config.model.foundation:
            raise ValueError(
                f"{config.foundation} holds another model than model.foundation describes: "
                "create the run anew, so that the description is taken from the bundle"
            )
        learner.first_stage.load_state_dict(bundle.learner.state_dict())


def _fitting(config: RunConfig, model: SecondStage, spec: DataSpec) -> Bundle:
    """The bundle, if it holds a model of the family and of the images that it must be of."""
    second = family_of(config.model).name
    wanted = get_type_hints(type(model))["foundation"]
    accepted: tuple[type, ...] = get_args(wanted) or (wanted,)
    if config.foundation is None:
        first = " or ".join(name for name, preset in PRESETS.items() if isinstance(preset.build().model, accepted))
        raise ValueError(
            f"{second} builds on another model: train that first, from the preset {first}, then name its bundle: "
            "--foundation runs/NAME/bundle"
        )
    bundle = load_bundle(config.foundation)
    if not isinstance(bundle.config, accepted):
        names = " or ".join(family.name for family in FAMILIES if family.config in accepted)
        raise ValueError(
            f"{config.foundation} holds a model of the family {family_of(bundle.config).name}: "
            f"{second} builds on {names}, so name a bundle of that"
        )
    if bundle.spec != spec:
        raise ValueError(
            f"{config.foundation} was trained on {_described(bundle.spec)}, and this run's data has "
            f"{_described(spec)}: both must see the same kind of images"
        )
    return bundle


def _described(spec: DataSpec) -> str:
    captions = f" and captions of up to {spec.caption_bytes} bytes" if spec.caption_bytes else ""
    classes = f"the classes ({', '.join(spec.class_names)})"
    return f"{spec.channels} x {spec.height} x {spec.width} images with {classes}{captions}"
