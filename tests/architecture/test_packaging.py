"""The lock, the hooks and the metadata agree with each other."""

import os
import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pathspec import GitIgnoreSpec
from repository_files import ROOT, tracked_files

import gen_dist

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
PINS = dict(re.findall(r"^([a-z0-9-]+)==([0-9a-z.]+)$", LOCK, re.MULTILINE))


def test_the_lock_holds_exact_public_versions_and_nothing_else() -> None:
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(PINS)
    assert list(PINS) == sorted(PINS)


def test_the_lock_satisfies_every_requirement() -> None:
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *extras["dev"], *extras["server"]]:
        requirement = Requirement(text)
        version = PINS.get(canonicalize_name(requirement.name))
        assert version is not None, f"{text} is not locked: run `make lock`"
        assert requirement.specifier.contains(version), f"{text} is locked at {version}: run `make lock`"


def test_torch_and_ray_are_the_versions_the_measurements_speak_of() -> None:
    assert (PINS["torch"], PINS["ray"]) == ("2.13.0", "2.60.0")


def test_hooks_run_what_make_check_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    checks = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    hooks = re.findall(r"^ +entry: (.*)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    assert checks == hooks


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^exec make .*\btest\b", script.read_text(), re.MULTILINE)


def test_one_version_everywhere() -> None:
    assert gen_dist.__version__ == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_ray_job_uploads_all_code_and_little_else() -> None:
    ignored = GitIgnoreSpec.from_lines((ROOT / ".rayignore").read_text().splitlines())
    uploaded = [path for path in tracked_files() if not ignored.match_file(path)]
    assert {path for path in tracked_files() if path.parts[0] in {"gen_dist", "jobs"}} <= set(uploaded)
    assert sum((ROOT / path).stat().st_size for path in uploaded) < 5_000_000  # Ray refuses 100 MiB
    assert not [path for path in uploaded if path.parts[0] in {"docs", "tests", "benchmarks"}]
