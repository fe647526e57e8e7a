"""The layers hold, and the contracts that hold them would notice."""

import ast
import shutil
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import lint_imports
from repository_files import ROOT, imports, python_files, relative

PLANTED = {
    "types.py": ("import gen_dist.learner", "Imports run from commands down to types"),
    "models/vae/vae.py": ("import gen_dist.models.gan.dcgan", "Kinds of models do not import each other"),
    "models/table.py": ("import pyarrow", "Only data reads and writes Parquet and S3"),
    "training/round.py": ("import mlflow", "Only tracking talks to MLflow"),
    "tuning/space.py": ("import ray", "Only cluster talks to Ray"),
}


def test_the_layers_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    code = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_every_contract_notices_a_planted_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One wrong import per contract in a copy of the package: each contract must break."""
    name = "planted_gen_dist"
    shutil.copytree(ROOT / "gen_dist", tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (tmp_path / name).rglob("*.py"):
        path.write_text(path.read_text().replace("gen_dist.", f"{name}."))
    for place, (line, _) in PLANTED.items():
        path = tmp_path / name / place
        path.write_text(path.read_text() + "\n" + line.replace("gen_dist.", f"{name}.") + "\n")
    settings = (ROOT / "pyproject.toml").read_text()
    settings = settings[settings.index("[tool.importlinter]") :].replace('"gen_dist', f'"{name}')
    (tmp_path / "pyproject.toml").write_text(settings)
    monkeypatch.syspath_prepend(tmp_path)
    assert lint_imports(config_filename=str(tmp_path / "pyproject.toml"), no_cache=True) == 1
    output = capsys.readouterr().out
    for _, contract in PLANTED.values():
        assert any(contract in line and "BROKEN" in line for line in output.splitlines()), f"{contract}\n{output}"


def test_the_contracts_name_every_planted_case() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert len(contracts) == len(PLANTED), "a new contract needs a planted import that breaks it"


def test_only_distributed_talks_to_torch_distributed() -> None:
    """import-linter sees torch as one module, so this part of it is watched here."""
    offenders = []
    for path in python_files("gen_dist", "jobs"):
        if path.is_relative_to(ROOT / "gen_dist" / "distributed"):
            continue
        tree = ast.parse(path.read_text())
        found = [line for name, line in imports(tree) if name.startswith("torch.distributed")]
        found += [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("torch.distributed")
        ]
        offenders += [f"{relative(path)}:{line}" for line in found]
    assert not offenders


def test_no_import_hides_in_a_function() -> None:
    """cli.py delays imports with an explicit table. Inside a layer, a delayed import may save a slow start."""
    offenders = []
    for path in python_files("gen_dist", "jobs"):
        layer = ".".join(path.relative_to(ROOT).with_suffix("").parts[:2])
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                hidden = [(name, line) for name, line in imports(node) if not name.startswith(f"{layer}.")]
                offenders += [f"{relative(path)}:{line} {name}" for name, line in hidden]
    assert not offenders
