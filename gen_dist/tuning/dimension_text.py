"""Dimensions as people type them on a command line.

critic_learning_rate=1e-5:1e-2:log     a range, uniform in the logarithm
beta1=0:0.9                            a range; it keeps the scale that the dimension had
k=1,2,5                                a few options
objective=hinge                        one fixed value
penalty_weight=preset                  not searched: the preset's own value
model.latent_dim=32,64,128             a new dimension, by the path of its configuration field
"""

from collections.abc import Sequence
from dataclasses import replace

from gen_dist.tuning.space import Choice, Dimension, Domain, IntRange, LogUniform, Space, Uniform, Value

KEEP_PRESET = "preset"
FORMS = "NAME=LOW:HIGH, NAME=LOW:HIGH:log, NAME=LOW:HIGH:linear, NAME=A,B,C or NAME=preset"


def override_dimensions(space: Space, texts: Sequence[str]) -> Space:
    """The space with some dimensions changed, added or removed, each by one text.

    Raises:
        ValueError: a text has none of the forms, or names no dimension and no path; the message shows the forms.
    """
    for text in texts:
        space = _override(space, text)
    return space


def _override(space: Space, text: str) -> Space:
    name, equals, wanted = (part.strip() for part in text.partition("="))
    if not equals or not name or not wanted:
        raise ValueError(f"--dimension {text!r} is not understood; write {FORMS}")
    old = _find(space, name)
    if old is None:
        return _add(space, name, wanted, text)
    if wanted == KEEP_PRESET:
        return replace(space, dimensions=tuple(d for d in space.dimensions if d is not old))
    domain = _parse(wanted, text, old.domain)
    options = domain.options if isinstance(domain, Choice) else ()
    excluding = tuple(exclusion for exclusion in old.excluding if exclusion.option in options)
    new = replace(old, domain=domain, excluding=excluding)
    return replace(space, dimensions=tuple(new if d is old else d for d in space.dimensions))


def _find(space: Space, name: str) -> Dimension | None:
    """The dimension of that name, or the only one that sets a field of that name ("critic_updates" is k)."""
    named = [d for d in space.dimensions if d.name == name]
    setting = [d for d in space.dimensions if any(name in (path, path.rpartition(".")[2]) for path in d.paths)]
    return named[0] if named else setting[0] if len(setting) == 1 else None


def _add(space: Space, name: str, wanted: str, text: str) -> Space:
    if "." not in name:
        known = ", ".join(dimension.name for dimension in space.dimensions)
        raise ValueError(
            f"--dimension {text!r}: the space {space.name!r} has no dimension {name!r}; it has {known}. "
            "To add one, give the path of a configuration field, such as model.latent_dim=32,64"
        )
    new = Dimension(name=name, domain=_parse(wanted, text, None), paths=(name,))
    return replace(space, dimensions=(*space.dimensions, new))


def _parse(wanted: str, text: str, old: Domain | None) -> Domain:
    try:
        return _options(wanted, old) if ":" not in wanted else _range(wanted, old)
    except ValueError as error:
        raise ValueError(f"--dimension {text!r}: {error}") from error


def _options(wanted: str, old: Domain | None) -> Choice:
    options = tuple(_value(option.strip()) for option in wanted.split(","))
    if isinstance(old, LogUniform | Uniform):
        options = tuple(float(option) if isinstance(option, int) else option for option in options)
    return Choice(options=options)


def _range(wanted: str, old: Domain | None) -> Domain:
    low_text, _, rest = wanted.partition(":")
    high_text, _, scale = rest.partition(":")
    low, high = _value(low_text), _value(high_text)
    if isinstance(low, str) or isinstance(high, str) or scale not in ("", "log", "linear"):
        raise ValueError(f"not understood; write {FORMS}")
    if scale == "log" or (not scale and isinstance(old, LogUniform)):
        return LogUniform(low=float(low), high=float(high))
    if isinstance(low, int) and isinstance(high, int) and not scale and not isinstance(old, Uniform):
        return IntRange(low=low, high=high)
    return Uniform(low=float(low), high=float(high))


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
