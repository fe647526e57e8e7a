"""`gen-dist models` tells what the table holds."""

import json

import pytest

from gen_dist.cli import main
from gen_dist.models.table import FAMILIES
from gen_dist.presets import PRESETS

EXPECTED = {
    "gan": {"samples"},
    "autoregressive": {"samples", "scores"},
    "flow": {"samples", "scores", "encodes", "decodes"},
    "boltzmann": {"samples", "scores"},
    "baseline": {"samples", "scores"},
}
"""What every family of a kind can do, and perhaps more."""


def test_json_lists_every_family_with_its_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["family"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {family.name for family in FAMILIES}
    assert {preset["name"] for row in rows.values() for preset in row["presets"]} == set(PRESETS)
    for name, row in rows.items():
        abilities = set(row["capabilities"])
        expected = {"translates"} if "translates" in abilities else EXPECTED.get(row["kind"], set())
        assert expected <= abilities, name
    assert {"encodes", "decodes"} <= set(rows["vae"]["capabilities"])
    assert "classifies" in rows["convnet"]["capabilities"]
    assert {"encodes", "matches"} <= set(rows["matcher"]["capabilities"])
    assert "completes" in rows["pixelcnn"]["capabilities"]


def test_only_the_classifier_classifies(capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in rows if "classifies" in row["capabilities"]] == ["classifier"]


def test_words_narrow_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "flow", "rbm-8", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"realnvp", "rbm"} <= {row["family"] for row in rows}
    assert {row["kind"] for row in rows} == {"flow", "boltzmann"}
    assert main(["models", "glove"]) == 2
    assert "called like glove" in capsys.readouterr().err


def test_the_list_is_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["models"]) == 0
    output = capsys.readouterr().out
    for preset in PRESETS:
        assert preset in output
    assert "arXiv:1511.06434" in output
