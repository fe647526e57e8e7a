"""Frozen dataclasses to JSON and back, strictly: an unknown or a missing field is an error that names it."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from cattrs import ClassValidationError, transform_error
from cattrs.preconf.json import make_converter
from cattrs.v import format_exception

T = TypeVar("T")
converter = make_converter(forbid_extra_keys=True)


def _said(error: BaseException, as_type: Any) -> str:
    """What a field's own check said; cattrs' words where it said nothing."""
    return str(error) if isinstance(error, ValueError) and str(error) else format_exception(error, as_type)


def _strictly(kind: type, accepted: tuple[type, ...]) -> Callable[[Any, Any], Any]:
    """A hook that converts nothing silently: 1.5 is no whole number, and "no" no truth value."""

    def structure(value: Any, _type: Any) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{value!r} is not a valid {_KINDS[kind]}")
        return kind(value)

    return structure


_KINDS = {bool: "truth value (true or false)", int: "whole number", float: "number", str: "text"}
converter.register_structure_hook(bool, _strictly(bool, (bool,)))
converter.register_structure_hook(int, _strictly(int, (int,)))
converter.register_structure_hook(float, _strictly(float, (int, float)))
converter.register_structure_hook(str, _strictly(str, (str,)))


def to_json(value: Any, *, as_type: Any = None, indent: int | None = None) -> str:
    """Canonical JSON (sorted keys) of a dataclass; `as_type` names the union when the value is one of its members."""
    return json.dumps(converter.unstructure(value, unstructure_as=as_type), sort_keys=True, indent=indent)


def from_json(text: str, as_type: type[T]) -> T:
    """The value that `to_json` wrote.

    Raises:
        ValueError: the text is not JSON, or a field is unknown, missing or of the wrong type; the message names it.
    """
    try:
        return converter.structure(json.loads(text), as_type)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error}") from error
    except (ClassValidationError, ValueError, TypeError, KeyError) as error:
        name = getattr(as_type, "__name__", str(as_type))
        raise ValueError(f"not a valid {name}: {'; '.join(transform_error(error, name, _said))}") from error
