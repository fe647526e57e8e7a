"""Ways between the namespace and what lies outside of it: what is needed is open, and what is dangerous is not."""

from collections.abc import Callable
from typing import Any

from manifests import Manifest, Pod, name_of, of_kind, pods, selects

DNS, HTTPS, KUBERNETES_API, DASHBOARD, METRICS = 53, 443, 6443, 8265, 8080
METADATA = "169.254.169.254/32"
"""From this address a cloud gives a node's credentials to whoever asks on the node."""
_NAMESPACE = "kubernetes.io/metadata.name"

Peer = dict[str, Any]


def blocked_ways(objects: list[Manifest]) -> list[str]:
    """Names, the object store in the cloud, the Kubernetes API, KubeRay's operator and Prometheus are let through."""
    policies, found = of_kind(objects, "NetworkPolicy"), []
    denials = [item["spec"] for item in policies if item["spec"]["podSelector"] == {}]
    if not any(set(spec["policyTypes"]) == {"Ingress", "Egress"} and _rules(spec) == [] for spec in denials):
        found.append("no policy denies everything to every pod")
    (settings,) = (
        item["data"] for item in of_kind(objects, "ConfigMap") if item["metadata"]["name"] == "storage-settings"
    )
    for pod in pods(objects):
        is_ray, is_head = "ray.io/cluster" in pod.labels, pod.labels.get("ray.io/node-type") == "head"
        ways: list[tuple[bool, str, int, Callable[[Peer], bool]]] = [
            (True, "egress", DNS, _in("kube-system")),
            (_uses_s3(pod) and "AWS_ENDPOINT_URL" not in settings, "egress", HTTPS, _anywhere),
            (is_head, "egress", HTTPS, _anywhere),
            (is_head, "egress", KUBERNETES_API, _anywhere),
            (is_head, "ingress", DASHBOARD, _in("kuberay-system")),
            (is_ray, "ingress", METRICS, _in("monitoring")),
        ]
        for needed, direction, port, is_peer in ways:
            if needed and not _open(policies, pod, direction, port, is_peer):
                found.append(f"{pod.owner}: {direction} on {port} is denied")
    for item in policies:
        blocks = [peer["ipBlock"] for rule in _rules(item["spec"]) for peer in _peers(rule) if "ipBlock" in peer]
        found += [f"{name_of(item)}: opens {METADATA}" for block in blocks if METADATA not in block.get("except", [])]
    return found


def _open(policies: list[Manifest], pod: Pod, direction: str, port: int, is_peer: Callable[[Peer], bool]) -> bool:
    rules = [
        rule
        for item in policies
        if selects(item["spec"]["podSelector"], pod.labels)
        for rule in item["spec"].get(direction, [])
    ]
    return any(
        port in [entry["port"] for entry in rule["ports"]] and any(map(is_peer, _peers(rule)))
        for rule in rules
        if "ports" in rule
    )


def _in(namespace: str) -> Callable[[Peer], bool]:
    return lambda peer: peer.get("namespaceSelector", {}).get("matchLabels") == {_NAMESPACE: namespace}


def _anywhere(peer: Peer) -> bool:
    return peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"


def _uses_s3(pod: Pod) -> bool:
    sources = [source for container in pod.containers for source in container.get("envFrom", [])]
    return any(source.get("secretRef", {}).get("name") == "s3-credentials" for source in sources)


def _rules(spec: Manifest) -> list[Manifest]:
    return [*spec.get("ingress", []), *spec.get("egress", [])]


def _peers(rule: Manifest) -> list[Peer]:
    return [*rule.get("from", []), *rule.get("to", [])]
