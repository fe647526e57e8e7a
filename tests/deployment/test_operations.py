"""docs/operations.md can be followed: what its commands name is in the manifests, and the overlay it shows builds."""

import os
import re
from pathlib import Path

import pytest
from manifests import K8S, OVERLAYS, ROOT, build, of_kind, pods
from rules import CHECKS, documented_secrets

TEXT = (ROOT / "docs" / "operations.md").read_text()
MADE_BY_KUBERAY = {("service", "gen-dist-head-svc")}
LISTENING = {"gen-dist-head-svc": {"8265"}}
RAY_KINDS = ("raycluster", "raycronjob", "rayjob", "rayjobs")
KINDS = "deployment|service|statefulset|raycluster|raycronjob|secret"


def wrong_names(text: str) -> list[str]:
    """What the text tells to use and is not there."""
    objects = [item for overlay in OVERLAYS for item in build(overlay)]
    secrets = documented_secrets()
    there = {(item["kind"].lower(), item["metadata"].get("name")) for item in objects} | MADE_BY_KUBERAY
    there |= {("secret", name) for name in secrets}
    commands = "\n".join(re.findall(r"kubectl [^\n|`]+", text.replace("\\\n", " ")))
    found = [
        f"kubectl knows no {kind}" for kind in re.findall(r"\b(ray\w+)[/ ][a-z]", commands) if kind not in RAY_KINDS
    ]
    found += [
        f"there is no {kind} {name}"
        for kind, name in re.findall(rf"\b({KINDS})[/ ](?!generic)([a-z][\w-]*)", commands)
        if (kind, name) not in there
    ]
    sets = {
        item["metadata"]["name"]: item["spec"].get("volumeClaimTemplates", [])
        for item in of_kind(objects, "StatefulSet")
    }
    stable = {f"{name}-0" for name in sets}
    stable |= {f"{claim['metadata']['name']}-{name}-0" for name, claims in sets.items() for claim in claims}
    found += [f"there is no {name}" for name in re.findall(r"\b([a-z][a-z-]+-0)\b", text) if name not in stable]
    containers = {part["name"] for pod in pods(objects) for part in pod.containers}
    found += [
        f"there is no container {name}" for name in re.findall(r" -c ([a-z]+)\b", commands) if name not in containers
    ]
    found += [
        f"the Secret {name} has no {key}"
        for name, key in re.findall(r"\bsecret ([a-z][\w-]+) ([\w-]+)[)`]", text)
        if key not in secrets.get(name, set())
    ]
    ports = {
        item["metadata"]["name"]: {str(p["port"]) for p in item["spec"]["ports"]}
        for item in of_kind(objects, "Service")
    }
    found += [
        f"{name} does not listen on {port}"
        for name, port in re.findall(r"port-forward service/([\w-]+) (\d+)", text)
        if port not in (ports | LISTENING).get(name, set())
    ]
    found += [
        f"there is no {path}"
        for path in re.findall(r"(?<![\w/])((?:k8s|infra)/[\w./-]*\w)", text)
        if path != "infra/.env" and not (ROOT / path).exists()
    ]
    manifests = "".join(path.read_text() for path in [*K8S.rglob("*.yaml"), *(ROOT / "infra").glob("*.y*ml")])
    found += [
        f"no manifest knows {name}"
        for name in re.findall(r"`((?:RAY|GEN_DIST)_[A-Z_]+)`", text)
        if name not in manifests
    ]
    return found


def test_what_operations_name_is_there() -> None:
    assert wrong_names(TEXT) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("deployment/mlflow", "deployment/ml-flow"),
        ("raycluster gen-dist`", "raycluster gen-dists`"),
        ("raycronjob nightly-tune", "raycronjob nightly"),
        ("raycronjob nightly-tune", "raycroncjob nightly-tune"),
        ("kubectl exec postgres-0", "kubectl exec database-0"),
        ("data-postgres-0", "disk-postgres-0"),
        ("-c migrate", "-c migration"),
        ("secret gen-dist auth_token", "secret gen-dist token"),
        ("service/mlflow 5000", "service/mlflow 5001"),
        ("k8s/jobs/tune.yaml", "k8s/jobs/search.yaml"),
        ("`GEN_DIST_EXPECT_GPUS`", "`GEN_DIST_EXPECTS_GPUS`"),
    ],
)
def test_a_wrong_name_is_found(before: str, after: str) -> None:
    assert before in TEXT
    assert wrong_names(TEXT.replace(before, after, 1)) != []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_overlay_that_is_shown_builds_on_each_of_ours(overlay: str, tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n# my-cluster/kustomization.yaml\n(.*?)```", TEXT, re.DOTALL)
    (ours,) = re.findall(r"\.\./gen_dist/(k8s/overlays/)gpu\n", shown)
    folder = tmp_path / "my-cluster"
    folder.mkdir()
    path = os.path.relpath(ROOT / ours / overlay, folder.resolve())
    (folder / "kustomization.yaml").write_text(shown.replace("../gen_dist/k8s/overlays/gpu", path))
    objects = build(folder.resolve())
    images = {part["image"] for pod in pods(objects) for part in pod.containers if "gen-dist" in part["image"]}
    assert {image.partition("/")[0] for image in images} == {"REGISTRY"}
    (settings,) = (one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "storage-settings")
    assert settings["data"]["BUCKET_URI"] == "s3://YOUR-BUCKET"
    for check in ("versions", "references", "variables", "flows", "ways outside"):
        assert CHECKS[check](objects) == []
