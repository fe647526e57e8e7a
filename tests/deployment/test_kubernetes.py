"""k8s/ is valid, and what schemas can't see holds; each check is seen to fail on a planted error."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from capacity import homeless, quantity
from manifests import K8S, OVERLAYS, Manifest, build, jobs, node_pools, pods
from planted import PLANTED, find, first_container, spec_of
from rules import CHECKS


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", CHECKS)
def test_an_overlay_holds(overlay: str, check: str) -> None:
    assert CHECKS[check](build(overlay)) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_fit_the_nodes_that_the_overlay_names(overlay: str) -> None:
    assert homeless(pods(build(overlay)), node_pools(overlay)) == []


@pytest.mark.parametrize(("check", "error", "plant"), PLANTED, ids=[f"{check}: {error}" for check, error, _ in PLANTED])
def test_a_check_finds_a_planted_error(check: str, error: str, plant: Callable[[list[Manifest]], Any]) -> None:
    objects = build("production")
    plant(objects)
    assert CHECKS[check](objects) != []


def test_every_check_has_a_planted_error() -> None:
    assert {check for check, _, _ in PLANTED} == set(CHECKS)


def test_a_pod_that_is_too_large_or_one_too_many_is_found() -> None:
    objects = build("local")
    postgres = first_container(objects, "StatefulSet", "postgres")
    postgres["resources"]["requests"]["memory"] = "64Gi"
    assert any("fits no node" in problem for problem in homeless(pods(objects), node_pools("local")))
    postgres["resources"]["requests"]["memory"] = "5Gi"
    problems = homeless(pods(objects), node_pools("local"))
    assert problems
    assert all("no room left" in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "amount"), [("250m", 0.25), ("3", 3), (1, 1), ("1536Mi", 1536 * 2**20), ("2Gi", 2**31), ("1k", 1000)]
)
def test_quantities(text: str | int, amount: float) -> None:
    assert quantity(text) == amount


def test_preemption_leaves_time_for_a_checkpoint() -> None:
    """`ray start` waits for the drain and then ends its processes: both fit into what Kubernetes waits."""
    for pod in pods(build("gpu")):
        for container in pod.containers:
            drain = [
                e["value"] for e in container.get("env", []) if e["name"] == "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
            ]
            if container["name"] in ("ray-head", "ray-worker"):
                assert drain
                assert float(drain[0]) + 15 <= pod.spec["terminationGracePeriodSeconds"]


def test_gpus_are_asked_for_where_they_are_tolerated_and_the_group_starts_from_none() -> None:
    cluster = find(build("gpu"), "RayCluster", "gen-dist")
    group = next(group for group in cluster["spec"]["workerGroupSpecs"] if group["groupName"] == "gpu")
    assert (group["replicas"], group["minReplicas"]) == (0, 0)
    assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"nvidia.com/gpu", "cloud.google.com/gke-spot"} <= {
        t["key"] for t in group["template"]["spec"]["tolerations"]
    }


def test_the_api_token_is_mounted_into_the_autoscaler_alone() -> None:
    spec = spec_of(build("production"), "RayCluster", "gen-dist")
    assert "kubernetes-api" in {mount["name"] for mount in spec["autoscalerOptions"]["volumeMounts"]}
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        for container in group["template"]["spec"]["containers"]:
            assert "kubernetes-api" not in {mount["name"] for mount in container["volumeMounts"]}


def test_every_manifest_is_part_of_a_build() -> None:
    """A file that no kustomization names would be dead."""
    named = set()
    for path in K8S.rglob("kustomization.yaml"):
        text = path.read_text()
        named |= {
            path,
            *(path.parent / entry for entry in re.findall(r"^ +- (?:path: )?([\w./-]+\.\w+)$", text, re.MULTILINE)),
        }
    files = {path for path in K8S.rglob("*") if path.is_file() and path.parent.name != "jobs"}
    assert {path for path in files - named if path.name != "node-pools.yaml"} == set()
    assert len(jobs()) == len(list((K8S / "jobs").iterdir()))
