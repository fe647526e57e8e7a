"""`gen-dist models` tells what the table holds."""

import json

import pytest

from gen_dist.cli import main
from gen_dist.commands.entry import split_overrides
from gen_dist.config import override, paths
from gen_dist.models.table import FAMILIES
from gen_dist.presets import PRESETS, preset

EXPECTED = {
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
        assert EXPECTED.get(row["kind"], set()) <= set(row["capabilities"]), name
        if row["kind"] == "gan":
            assert {"samples", "translates"} & set(row["capabilities"]), name
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
    for name in PRESETS:
        assert name in output
    assert "arXiv:1511.06434" in output


def test_every_setting_of_a_preset_is_listed_as_the_option_that_changes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--settings", "dcgan-8"]) == 0
    listed = dict(line.strip().split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    _, values = split_overrides([word for option, text in listed.items() for word in (option, *text.split())])
    config = preset("dcgan-8")
    assert {option.removeprefix("--").replace("-", "_") for option in listed} == set(paths(config))
    assert set(values) == {path for path in paths(config) if "." in path}  # the others are the command's own
    typed = {path: value for path, value in values.items() if value != "()"}
    assert len(typed) > 20
    assert override(config, typed) == config
