"""All checks of an overlay, by name: schemas, KubeRay's own rules, versions, entrypoints, and other modules'."""

import functools
import re
import runpy
import shlex
import tomllib
from collections.abc import Callable
from typing import Any

import checks
import crds
import kubernetes_validate
import outside
import pytest
import wiring
from manifests import ROOT, Manifest, name_of, of_kind, pods

from gen_dist.commands import entry

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(re.findall(r"^([a-z0-9-]+)==([0-9a-z.]+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
KUBERNETES = "1.32"  # the oldest that the manifests are meant for
RAY_KINDS = ("RayCluster", "RayJob", "RayCronJob")
IMAGE_VERSIONS = {
    "gen-dist-cpu": PROJECT["version"],
    "gen-dist-gpu": PROJECT["version"],
    "gen-dist-mlflow": PINS["mlflow"],
}
JOBS_IN_THE_IMAGE = "/opt/gen-dist/jobs/"

Check = Callable[[list[Manifest]], list[str]]


def documented_secrets() -> dict[str, set[str]]:
    """Secrets and their keys that docs/operations.md shows how to make."""
    text = (ROOT / "docs" / "operations.md").read_text().replace("\\\n", " ")
    found = {}
    for name, rest in re.findall(r"create secret generic ([\w-]+) (.*)", text):
        found[name] = set(re.findall(r"--from-(?:literal|file)=([\w.-]+)=", rest))
    return found


def core_problems(objects: list[Manifest]) -> list[str]:
    """What Kubernetes' own schemas say, unknown fields included."""
    found = []
    for item in objects:
        if item["kind"] in RAY_KINDS:
            continue
        try:
            kubernetes_validate.validate(item, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{name_of(item)}: {error.message[:200]}")
    return found


def ray_problems(objects: list[Manifest]) -> list[str]:
    """What KubeRay's schemas say, unknown fields included."""
    return [f"{name_of(item)} {problem}" for item in of_kind(objects, *RAY_KINDS) for problem in crds.problems(item)]


def operator_problems(objects: list[Manifest]) -> list[str]:
    """Rules that KubeRay's operator enforces and its schemas do not hold (validation.go of KubeRay 1.7)."""
    found = []
    for item in of_kind(objects, "RayCluster"):
        spec = item["spec"]
        if spec.get("authOptions", {}).get("mode") != "token":
            found.append(f"{name_of(item)}: asks for no token")
        if spec.get("rayVersion") != PINS["ray"]:
            found.append(f"{name_of(item)}: Ray is {spec.get('rayVersion')}, and {PINS['ray']} in requirements.lock")
        found += [
            f"{name_of(item)}: the autoscaler replaces pods, Kubernetes must not restart them"
            for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
            if group["template"]["spec"].get("restartPolicy", "Never") != "Never"
        ]
    for item in of_kind(objects, "RayJob", "RayCronJob"):
        spec = item["spec"].get("jobTemplate", item["spec"])
        if spec.get("backoffLimit") or spec.get("suspend") or spec.get("submissionMode") == "SidecarMode":
            found.append(f"{name_of(item)}: backoffLimit, suspend and SidecarMode don't go with clusterSelector")
    return found


def version_problems(objects: list[Manifest]) -> list[str]:
    """Images of ours bear the project's version, or that of the locked MLflow."""
    images = [part["image"] for pod in pods(objects) for part in pod.containers]
    return [
        f"{image} should be {IMAGE_VERSIONS[name]}"
        for image in images
        for name, _, tag in [image.rpartition("/")[2].partition(":")]
        if name.startswith("gen-dist") and IMAGE_VERSIONS.get(name) != tag
    ]


def entrypoint_problems(objects: list[Manifest]) -> list[str]:
    """Every entrypoint is a job that exists, called in a way that it accepts."""
    found = []
    for item in of_kind(objects, "RayJob", "RayCronJob"):
        text = item["spec"].get("jobTemplate", item["spec"])["entrypoint"]
        python, script, *arguments = shlex.split(text)
        job = ROOT / "jobs" / script.removeprefix(JOBS_IN_THE_IMAGE)
        if python != "python" or not script.startswith(JOBS_IN_THE_IMAGE) or not job.is_file():
            found.append(f"{name_of(item)}: there is no {script}")
        elif not _accepted(str(job), arguments):
            found.append(f"{name_of(item)}: {script} does not accept {shlex.join(arguments)}")
    return found


def _accepted(job: str, arguments: list[str]) -> bool:
    functions: list[Callable[..., None]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "run", functions.append)
        with pytest.raises(SystemExit):
            runpy.run_path(job, run_name="__main__")

    @functools.wraps(functions[0])
    def parse_only(*_arguments: Any, **_options: Any) -> None:
        pass

    try:
        entry.call(parse_only, arguments, program=job)
    except SystemExit:
        return False
    return True


CHECKS: dict[str, Check] = {
    "core schemas": core_problems,
    "KubeRay schemas": ray_problems,
    "KubeRay operator": operator_problems,
    "versions": version_problems,
    "entrypoints": entrypoint_problems,
    "references": lambda objects: checks.missing_references(objects, documented_secrets()),
    "selectors": checks.idle_selectors,
    "listening ports": checks.deaf_ports,
    "flows": checks.blocked_flows,
    "ways outside": outside.blocked_ways,
    "security": checks.lax_pods,
    "secrets": checks.secrets_in_the_open,
    "namespace": checks.foreign_namespaces,
    "mounts": wiring.loose_mounts,
    "probes": wiring.deaf_probes,
    "variables": lambda objects: wiring.unknown_variables(objects, documented_secrets()),
    "files": lambda objects: wiring.missing_files(objects, documented_secrets()),
    "settings": wiring.disagreements,
    "rights": wiring.wide_rights,
}
