"""jobs/ holds entry points for `ray job submit` and nothing else."""

import ast
import os
import runpy
import sys
from pathlib import Path

import pytest
from repository_files import ROOT, imports, python_files

JOBS = python_files("jobs")


def test_there_are_jobs() -> None:
    assert {path.stem for path in JOBS} >= {"compare", "evaluate", "import_dataset", "train", "tune_gan"}


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_a_job_is_a_thin_executable_script(path: Path) -> None:
    """`ray job submit jobs/tune_gan.py` runs the file itself: it needs the mode bit and the shebang."""
    lines = path.read_text().splitlines()
    assert len(lines) <= 40
    assert lines[0] == "#!/usr/bin/env python"
    assert os.access(path, os.X_OK)
    ours = [name for name, _ in imports(ast.parse(path.read_text())) if name.startswith("gen_dist")]
    assert ours
    assert all(name.startswith("gen_dist.commands.") for name in ours)


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_a_job_explains_itself_with_an_example(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(path.relative_to(ROOT)), "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(path), run_name="__main__")
    assert stopped.value.code == 0
    output = capsys.readouterr().out
    assert path.name in output
    assert "Example" in output
