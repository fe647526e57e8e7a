"""Every family in the table names its source, is held by laws, and has a page."""

import re
from typing import get_args

import pytest
from repository_files import ROOT, python_files

from gen_dist.models.table import FAMILIES, AnyModelConfig, Family, Kind
from gen_dist.presets import PRESETS

LAWS = {path: path.read_text() for path in python_files("tests/laws")}


def family_id(family: Family) -> str:
    return family.name


def test_names_are_unique_and_kinds_are_folders() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert family.kind in get_args(Kind)
        assert family.config.__module__.split(".")[:3] == ["gen_dist", "models", family.kind]


def test_the_union_of_configurations_is_the_table() -> None:
    assert {family.config for family in FAMILIES} == set(get_args(AnyModelConfig))


@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_a_family_names_its_source(family: Family) -> None:
    paper = family.paper
    assert paper.title
    assert paper.authors
    assert 1960 <= paper.year <= 2100
    module = ROOT / (family.config.__module__.replace(".", "/") + ".py")
    opening = module.read_text().split('"""')[1]
    if paper.arxiv:
        assert re.fullmatch(r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}", paper.arxiv)
        assert f"arXiv:{paper.arxiv}" in opening, f"{module.name} does not open with its paper"
    assert str(paper.year) in opening, f"{module.name} does not open with its paper's year"


@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_a_family_is_held_by_a_law(family: Family) -> None:
    module = family.config.__module__.rsplit(".", 1)[-1]
    names = re.compile(rf"\b(?:{re.escape(family.config.__name__)}|{re.escape(module)})\b")
    assert any(names.search(text) for text in LAWS.values()), f"no file of tests/laws names {family.config.__name__}"


@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_a_family_has_a_page(family: Family) -> None:
    page = ROOT / "docs" / "models" / f"{family.name}.md"
    assert page.is_file(), f"{page.relative_to(ROOT)} is missing"
    text = page.read_text()
    assert family.paper.title in text
    assert family.paper.arxiv in text


@pytest.mark.parametrize("family", FAMILIES, ids=family_id)
def test_a_family_has_a_preset(family: Family) -> None:
    assert any(type(preset.build().model) is family.config for preset in PRESETS.values())
