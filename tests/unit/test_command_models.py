"""`gen-dist models` tells what the table holds."""

import json

import pytest

from gen_dist.cli import main
from gen_dist.models.table import FAMILIES
from gen_dist.presets import PRESETS

EXPECTED = {
    "dcgan": {"samples"},
    "vae": {"samples", "scores", "encodes", "decodes"},
    "pixelcnn": {"samples", "scores"},
    "nice": {"samples", "scores", "encodes", "decodes"},
    "realnvp": {"samples", "scores", "encodes", "decodes"},
    "glow": {"samples", "scores", "encodes", "decodes"},
    "rbm": {"samples", "scores"},
    "convnet": {"classifies"},
}


def test_json_lists_every_family_with_its_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["family"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {family.name for family in FAMILIES}
    assert {preset["name"] for row in rows.values() for preset in row["presets"]} == set(PRESETS)
    for name, row in rows.items():
        assert EXPECTED[name] <= set(row["capabilities"]), name


def test_only_the_classifier_classifies(capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in rows if "classifies" in row["capabilities"]] == ["classifier"]


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["models"]) == 0
    output = capsys.readouterr().out
    for preset in PRESETS:
        assert preset in output
    assert "arXiv:1511.06434" in output
