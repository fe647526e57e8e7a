"""Frozen dataclasses to JSON and back, strictly: an unknown or a missing field is an error that names it."""

import json
from typing import Any, TypeVar

from cattrs import ClassValidationError, transform_error
from cattrs.preconf.json import make_converter

T = TypeVar("T")
converter = make_converter(forbid_extra_keys=True)


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
        raise ValueError(f"not a valid {name}: {'; '.join(transform_error(error, path=name))}") from error
