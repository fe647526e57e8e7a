"""Search spaces on a run configuration: which fields a draw sets, and whether they exist."""

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gen_dist.config import RunConfig, override, paths
from gen_dist.tuning.space import (
    Choice,
    Condition,
    Dimension,
    Space,
    Value,
    Values,
    domain_given,
    sample,
)

_ELEMENT = re.compile(r"^(?P<path>.+)\[(?P<index>\d+)\]$")
_TRIES_PER_EDGE = 64


def bind(space: Space, config: RunConfig) -> Space:
    """The space as it applies to one configuration.

    Conditions on fields that are not searched are settled by the configuration's own value. Every edge of every
    dimension (each option, both ends of a range) is then tried on the configuration, so that a study fails before it
    starts and not in its fortieth trial.

    Raises:
        ValueError: a dimension sets a field that the configuration lacks, or a value that it refuses.
    """
    leaves = paths(config)
    missing = [(d.name, path) for d in space.dimensions for path in d.paths if _without_index(path) not in leaves]
    if missing:
        raise ValueError(_missing_message(space, missing, leaves))
    searched = {path for dimension in space.dimensions for path in dimension.paths}
    settled = (_settle(dimension, searched, leaves) for dimension in space.dimensions)
    bound = replace(space, dimensions=tuple(dimension for dimension in settled if dimension is not None))
    _try_edges(bound, config)
    return bound


def to_overrides(space: Space, values: Mapping[str, Value], config: RunConfig) -> dict[str, Any]:
    """The fields that a draw sets, by dotted path, for `gen_dist.config.override`.

    Elements of tuples ("betas[0]") become whole tuples, completed from `config`.
    """
    leaves = paths(config)
    overrides: dict[str, Any] = {}
    for name, value in values.items():
        for path in space.dimension(name).paths:
            element = _ELEMENT.match(path)
            if element is None:
                overrides[path] = value
                continue
            whole = element["path"]
            items = list(overrides.get(whole, leaves[whole]))
            items[int(element["index"])] = value
            overrides[whole] = tuple(items)
    return overrides


def apply(space: Space, values: Mapping[str, Value], config: RunConfig) -> RunConfig:
    """The configuration of a trial: `config` with the drawn values in their places."""
    return override(config, to_overrides(space, values, config))


def _without_index(path: str) -> str:
    element = _ELEMENT.match(path)
    return path if element is None else element["path"]


def _settle(dimension: Dimension, searched: Iterable[str], leaves: Mapping[str, Any]) -> Dimension | None:
    """The dimension without conditions on fixed fields; None when one of them says that it does not exist."""
    when = dimension.when
    if when is not None and when.path not in searched:
        if not _true_of(when, leaves):
            return None
        when = None
    gone = {e.option for e in dimension.excluding if e.condition.path not in searched and _true_of(e.condition, leaves)}
    open_exclusions = tuple(e for e in dimension.excluding if e.condition.path in searched and e.option not in gone)
    domain = dimension.domain
    if gone:
        assert isinstance(domain, Choice)
        options = tuple(option for option in domain.options if option not in gone)
        if not options:
            return None
        domain = Choice(options=options)
    return replace(dimension, when=when, excluding=open_exclusions, domain=domain)


def _true_of(condition: Condition, leaves: Mapping[str, Any]) -> bool:
    if condition.path not in leaves:
        raise ValueError(f"a condition of the space reads {condition.path}, which the configuration does not have")
    return leaves[condition.path] in condition.among


def _try_edges(space: Space, config: RunConfig) -> None:
    rng = random.Random(0)  # noqa: S311 - a fixed probe, nothing secret
    for dimension in space.dimensions:
        domain = dimension.domain
        edges: tuple[Value, ...] = domain.options if isinstance(domain, Choice) else (domain.low, domain.high)
        for edge in edges:
            values = _draw_with(space, dimension, edge, rng)
            try:
                apply(space, values, config)
            except ValueError as error:
                raise ValueError(f"{dimension.name}={edge} does not fit this preset: {error}") from error


def _draw_with(space: Space, dimension: Dimension, edge: Value, rng: random.Random) -> Values:
    """A draw in which `dimension` exists and has the value `edge`."""
    for _ in range(_TRIES_PER_EDGE):
        values = sample(space, rng)
        domain = domain_given(space, dimension, values)
        if domain is None or (isinstance(domain, Choice) and edge not in domain.options):
            continue
        names = [d.name for d in space.dimensions]
        before = {name: values[name] for name in names[: names.index(dimension.name)] if name in values}
        return sample(space, rng, fixed={**before, dimension.name: edge})
    raise ValueError(
        f"{dimension.name}={edge} can never be drawn: its condition does not hold for the other dimensions; "
        f"drop it with --dimension {dimension.name}=preset"
    )


def _missing_message(space: Space, missing: list[tuple[str, str]], leaves: Mapping[str, Any]) -> str:
    lines = [f"  {name} sets {path}" for name, path in missing]
    drop = " ".join(f"--dimension {name}=preset" for name in dict.fromkeys(name for name, _ in missing))
    return (
        f"the space {space.name!r} searches fields that the preset does not have:\n"
        + "\n".join(lines)
        + f"\nleave them as they are with {drop}, or choose another --space or --preset; the preset's fields are "
        + ", ".join(leaf for leaf in leaves if leaf.startswith("model."))
    )
