"""Where a family comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """A citation. `arxiv` is the identifier ("1511.06434"), or an empty string for papers that are not there."""

    title: str
    authors: str
    year: int
    arxiv: str = ""
