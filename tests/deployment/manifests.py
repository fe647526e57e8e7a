"""What an overlay of k8s/ becomes, and the pods that it leads to."""

import copy
import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("local", "gpu", "production")
NAMESPACE = "gen-dist"
KUBECTL_VARIABLE = "GEN_DIST_KUBECTL"

Manifest = dict[str, Any]


def kubectl() -> str:
    """The program; where GEN_DIST_KUBECTL names one, as in continuous integration, it must be there."""
    wanted = os.environ.get(KUBECTL_VARIABLE)
    program = shutil.which(wanted or "kubectl")
    if program is None and wanted:
        pytest.fail(f"{KUBECTL_VARIABLE} is {wanted!r}, and there is no such program")
    if program is None:
        pytest.skip("there is no kubectl: install it (1.32 or newer, https://kubernetes.io/docs/tasks/tools/)")
    return program


@functools.cache
def _built(program: str, folder: Path) -> list[Manifest]:
    command = [program, "kustomize", str(folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    return [item for item in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if item] + jobs()


def build(overlay: str | Path) -> list[Manifest]:
    """All objects of an overlay, as `kubectl kustomize` makes them, and the jobs that are created by hand.

    They are the caller's own, to change as it likes.
    """
    return copy.deepcopy(_built(kubectl(), K8S / "overlays" / overlay))


def jobs() -> list[Manifest]:
    """What k8s/jobs holds."""
    return [item for path in sorted((K8S / "jobs").glob("*.yaml")) for item in yaml.safe_load_all(path.read_text())]


def node_pools(overlay: str) -> list[Manifest]:
    """The nodes that an overlay says it needs."""
    pools: list[Manifest] = yaml.safe_load((K8S / "overlays" / overlay / "node-pools.yaml").read_text())
    return pools


def of_kind(objects: Iterable[Manifest], *kinds: str) -> list[Manifest]:
    """Those of some kinds."""
    return [item for item in objects if item["kind"] in kinds]


def name_of(item: Manifest) -> str:
    """`Kind/name`, for messages."""
    metadata = item["metadata"]
    return f"{item['kind']}/{metadata.get('name') or metadata['generateName']}"


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod that Kubernetes or KubeRay makes of a manifest.

    Attributes:
        owner: the manifest, for messages.
        labels: as Kubernetes sees them.
        spec: the pod's, with the containers that KubeRay adds.
        always: how many of it run all the time.
        references: secrets that KubeRay puts into its environment, beside those that the spec names.
        claims: volumes that a StatefulSet adds.
    """

    owner: str
    labels: Mapping[str, str]
    spec: Manifest
    always: int
    references: tuple[tuple[str, str], ...] = ()
    claims: tuple[str, ...] = ()

    @property
    def containers(self) -> list[Manifest]:
        """With its init containers."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def ports(self) -> set[int]:
        """On which a container says that it listens."""
        return {port["containerPort"] for item in self.spec["containers"] for port in item.get("ports", [])}


def pods(objects: Iterable[Manifest]) -> list[Pod]:
    """Every pod that the objects lead to."""
    found = []
    for item in objects:
        match item["kind"]:
            case "Deployment" | "StatefulSet" | "Job":
                template, always = item["spec"]["template"], item["spec"].get("replicas", 1)
                found.append(
                    Pod(
                        owner=name_of(item),
                        labels=template["metadata"]["labels"],
                        spec=template["spec"],
                        always=0 if item["kind"] == "Job" else always,
                        claims=tuple(
                            claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])
                        ),
                    )
                )
            case "RayCluster":
                found += _ray_pods(item)
    return found


def _ray_pods(cluster: Manifest) -> list[Pod]:
    """As KubeRay makes them: its labels, and the autoscaler's container beside the head's."""
    spec = cluster["spec"]
    groups = [("head", "headgroup", spec["headGroupSpec"], 1)]
    groups += [("worker", group["groupName"], group, group["minReplicas"]) for group in spec["workerGroupSpecs"]]
    found = []
    for kind, name, group, always in groups:
        template = group["template"]
        pod = dict(template["spec"])
        if kind == "head" and spec["enableInTreeAutoscaling"]:
            image = pod["containers"][0]["image"]
            pod["containers"] = [
                *pod["containers"],
                {"name": "autoscaler", "image": image, **spec["autoscalerOptions"]},
            ]
        own = {"ray.io/cluster": cluster["metadata"]["name"], "ray.io/node-type": kind, "ray.io/group": name}
        found.append(
            Pod(
                owner=f"{name_of(cluster)} {name}",
                labels={**template.get("metadata", {}).get("labels", {}), **own},
                spec=pod,
                always=always,
                references=((spec["authOptions"]["secretName"], "auth_token"),),
            )
        )
    return found


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector means a pod with these labels; an empty one means all."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", f"teach this test {rule['operator']}"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True
