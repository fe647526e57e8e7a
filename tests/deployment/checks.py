"""What schemas can't see: each function returns what is wrong with an overlay, in words."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from manifests import NAMESPACE, Manifest, Pod, name_of, of_kind, pods, selects

# Kubernetes makes this one in every namespace.
BUILT_IN = {("ConfigMap", "kube-root-ca.crt")}
# What lies outside the namespace, and where it listens.
OUTSIDE = {53: "DNS", 443: "HTTPS", 6443: "the Kubernetes API", 8443: "minikube's Kubernetes API"}
_HOST = re.compile(r"(?:\w+://(?:[\w-]+@)?|^)(?P<host>[a-z][a-z0-9-]*):(?P<port>\d+)")

Secrets = Mapping[str, set[str]]


def missing_references(objects: list[Manifest], documented: Secrets) -> list[str]:
    """Every Secret, ConfigMap, ServiceAccount, Service, Role and cluster that something names exists."""
    there = {(item["kind"], item["metadata"].get("name")) for item in objects} | BUILT_IN
    wanted: list[tuple[str, str, str]] = []
    secrets: list[tuple[str, str, str | None]] = []
    for pod in pods(objects):
        wanted.append((pod.owner, "ServiceAccount", pod.spec.get("serviceAccountName", "default")))
        secrets += [(pod.owner, name, key) for name, key in pod.references]
        for node in _nodes(pod.spec):
            maps = [node[field]["name"] for field in ("configMapRef", "configMapKeyRef", "configMap") if field in node]
            wanted += [(pod.owner, "ConfigMap", name) for name in maps]
            keys = [node[field] for field in ("secretRef", "secretKeyRef") if field in node]
            secrets += [(pod.owner, key["name"], key.get("key")) for key in keys]
            if "secret" in node:
                secrets.append((pod.owner, node["secret"]["secretName"], None))
            if "persistentVolumeClaim" in node:
                wanted.append((pod.owner, "PersistentVolumeClaim", node["persistentVolumeClaim"]["claimName"]))
    for item in objects:
        where = name_of(item)
        match item["kind"]:
            case "StatefulSet":
                wanted.append((where, "Service", item["spec"]["serviceName"]))
            case "RoleBinding":
                wanted.append((where, item["roleRef"]["kind"], item["roleRef"]["name"]))
                wanted += [(where, subject["kind"], subject["name"]) for subject in item["subjects"]]
            case "RayJob":
                wanted.append((where, "RayCluster", item["spec"]["clusterSelector"]["ray.io/cluster"]))
            case "RayCronJob":
                wanted.append((where, "RayCluster", item["spec"]["jobTemplate"]["clusterSelector"]["ray.io/cluster"]))
            case "RayCluster":
                password = item["spec"].get("gcsFaultToleranceOptions", {}).get("redisPassword", {}).get("valueFrom")
                if password:
                    secrets.append((where, password["secretKeyRef"]["name"], password["secretKeyRef"]["key"]))
    found = [f"{where}: there is no {kind} {name}" for where, kind, name in wanted if (kind, name) not in there]
    found += [
        f"{where}: nothing says how to make Secret {name}" for where, name, _ in secrets if name not in documented
    ]
    found += [
        f"{where}: Secret {name} gets no key {key}"
        for where, name, key in secrets
        if key and key not in documented.get(name, {key})
    ]
    return found


def idle_selectors(objects: list[Manifest]) -> list[str]:
    """Every Service, budget and network policy means a pod, and every Service's port is one of that pod's."""
    running = pods(objects)
    found = []
    for item in of_kind(objects, "Service"):
        means = [pod for pod in running if selects({"matchLabels": item["spec"]["selector"]}, pod.labels)]
        names = {port.get("name") for pod in means for part in pod.spec["containers"] for port in part.get("ports", [])}
        found += [f"{name_of(item)}: selects no pod"] * (not means)
        found += [
            f"{name_of(item)}: no pod has the port {port['targetPort']}"
            for port in item["spec"]["ports"]
            if means and port["targetPort"] not in names
        ]
    selectors = [(name_of(item), item["spec"]["selector"]) for item in of_kind(objects, "PodDisruptionBudget")]
    for item in of_kind(objects, "NetworkPolicy"):
        selectors.append((name_of(item), item["spec"]["podSelector"]))
        inside = [peer for peer in _peers(item) if "podSelector" in peer and "namespaceSelector" not in peer]
        selectors += [(name_of(item), peer["podSelector"]) for peer in inside]
    found += [
        f"{where}: {selector} selects no pod"
        for where, selector in selectors
        if not any(selects(selector, pod.labels) for pod in running)
    ]
    return found


def deaf_ports(objects: list[Manifest]) -> list[str]:
    """Every port that a network policy opens is one on which something listens."""
    running = pods(objects)
    found = []
    for item in of_kind(objects, "NetworkPolicy"):
        where = name_of(item)
        listening = [pod for pod in running if selects(item["spec"]["podSelector"], pod.labels)]
        for rule in item["spec"].get("ingress", []):
            for port, pod in itertools.product(_ports(rule), listening):
                if port not in pod.ports:
                    found.append(f"{where}: {pod.owner} does not listen on {port}")
        for rule in item["spec"].get("egress", []):
            for port, peer in itertools.product(_ports(rule), rule["to"]):
                if "ipBlock" in peer or "namespaceSelector" in peer:
                    found += [f"{where}: nothing outside listens on {port}"] * (port not in OUTSIDE)
                    continue
                for pod in running:
                    if selects(peer["podSelector"], pod.labels) and port not in pod.ports:
                        found.append(f"{where}: {pod.owner} does not listen on {port}")
    return found


def blocked_flows(objects: list[Manifest]) -> list[str]:
    """Every address that a pod is configured with is a Service here, and policies let the pod through to it."""
    running, found = pods(objects), []
    policies = of_kind(objects, "NetworkPolicy")
    services = {item["metadata"]["name"]: item for item in of_kind(objects, "Service")}
    for pod in running:
        for host, port in _addresses(pod, objects):
            if host not in services:
                found.append(f"{pod.owner}: there is no Service {host}")
                continue
            service = services[host]["spec"]
            if port not in {entry["port"] for entry in service["ports"]}:
                found.append(f"{pod.owner}: Service {host} has no port {port}")
                continue
            for target in running:
                if selects({"matchLabels": service["selector"]}, target.labels):
                    found += _blocked(policies, pod, target, port)
    ray = [pod for pod in running if "ray.io/cluster" in pod.labels]
    for one, other in itertools.permutations(ray, 2):
        found += _blocked(policies, one, other, 10002)  # any port: Ray chooses
    return found


def _blocked(policies: list[Manifest], source: Pod, target: Pod, port: int) -> list[str]:
    what = f"from {source.owner} to {target.owner}:{port}"
    found = []
    for direction, pod, peer, key in (("Egress", source, target, "to"), ("Ingress", target, source, "from")):
        applying = [
            item["spec"]
            for item in policies
            if direction in item["spec"]["policyTypes"] and selects(item["spec"]["podSelector"], pod.labels)
        ]
        if not applying:
            found.append(f"{what}: no policy denies {direction.lower()} by default")
        rules = [rule for spec in applying for rule in spec.get(direction.lower(), [])]
        if not any(_means(rule, key, peer) and (not _ports(rule) or port in _ports(rule)) for rule in rules):
            found.append(f"{what}: {direction.lower()} is denied")
    return found


def _means(rule: Manifest, key: str, pod: Pod) -> bool:
    return any(
        "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], pod.labels)
        for peer in rule[key]
    )


def lax_pods(objects: list[Manifest]) -> list[str]:
    """Every container has the restricted security context, exact images, requests, and probes if it stays."""
    found = []
    for pod in pods(objects):
        spec, context = pod.spec, pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            found.append(f"{pod.owner}: may run as root")
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            found.append(f"{pod.owner}: has no seccomp profile")
        if spec.get("automountServiceAccountToken") is not False:
            found.append(f"{pod.owner}: mounts a token of the Kubernetes API")
        if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
            found.append(f"{pod.owner}: shares the node's namespaces")
        found += [f"{pod.owner}: mounts the node's disk" for part in spec.get("volumes", []) if "hostPath" in part]
        for container in pod.containers:
            where = f"{pod.owner}, container {container['name']}"
            rules = container.get("securityContext", {})
            if rules.get("allowPrivilegeEscalation") is not False or rules.get("privileged"):
                found.append(f"{where}: may gain privileges")
            if rules.get("readOnlyRootFilesystem") is not True:
                found.append(f"{where}: may write to its root")
            if rules.get("capabilities", {}) != {"drop": ["ALL"]}:
                found.append(f"{where}: keeps capabilities")
            if "runAsUser" in rules or "runAsNonRoot" in rules:
                found.append(f"{where}: overrides the pod's user")
            if not re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?", container["image"]):
                found.append(f"{where}: {container['image']} is not an exact version")
            resources = container.get("resources", {})
            if {"cpu", "memory"} - set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
                found.append(f"{where}: needs requests for CPU and memory, and a limit for memory")
        stays = [part for part in spec["containers"] if part["name"] not in ("autoscaler", "make-bucket")]
        for container in stays:
            if {"startupProbe", "livenessProbe", "readinessProbe"} - set(container):
                found.append(f"{pod.owner}, container {container['name']}: lacks a probe")
    return found


def secrets_in_the_open(objects: list[Manifest]) -> list[str]:
    """No Secret is in the tree, and no variable that is called like one has a value."""
    found = [f"{name_of(item)} is in the tree" for item in of_kind(objects, "Secret")]
    telling = re.compile(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY", re.IGNORECASE)
    for pod in pods(objects):
        variables = [variable for container in pod.containers for variable in container.get("env", [])]
        found += [
            f"{pod.owner}: {variable['name']} is written out"
            for variable in variables
            if telling.search(variable["name"]) and variable.get("value")
        ]
    for item in of_kind(objects, "ConfigMap"):
        found += [f"{name_of(item)}: {key} looks like a secret" for key in item["data"] if telling.search(key)]
    return found


def _nodes(value: Any) -> Iterator[Manifest]:
    """Every mapping inside a value."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _ports(rule: Manifest) -> list[int]:
    return [entry["port"] for entry in rule.get("ports", [])]


def _peers(policy: Manifest) -> Iterator[Manifest]:
    for rule in policy["spec"].get("ingress", []):
        yield from rule.get("from", [])
    for rule in policy["spec"].get("egress", []):
        yield from rule.get("to", [])


def _addresses(pod: Pod, objects: Iterable[Manifest]) -> set[tuple[str, int]]:
    """Hosts without a dot, and ports, in all that a pod is configured with."""
    objects = list(objects)
    maps = {item["metadata"]["name"]: item["data"] for item in of_kind(objects, "ConfigMap")}
    texts: list[str] = []
    for node in _nodes(pod.spec):
        texts += [part for part in [*node.get("args", []), *node.get("command", [])] if isinstance(part, str)]
        texts += [node["value"]] if isinstance(node.get("value"), str) else []
        for field in ("configMapRef", "configMap"):
            if field in node:
                texts += maps.get(node[field]["name"], {}).values()
    for cluster in of_kind(objects, "RayCluster"):
        if pod.labels.get("ray.io/node-type") == "head":
            texts.append(cluster["spec"].get("gcsFaultToleranceOptions", {}).get("redisAddress", ""))
    found = set()
    for text in texts:
        if text.startswith("--allowed-hosts"):
            continue  # names by which it is called, not that it calls
        for match in _HOST.finditer(text):
            if match["host"] not in ("localhost", "http", "https"):
                found.add((match["host"], int(match["port"])))
    return found


def foreign_namespaces(objects: list[Manifest]) -> list[str]:
    """Everything lies in the one namespace."""
    return [
        f"{name_of(item)} is not in {NAMESPACE}"
        for item in objects
        if item["kind"] != "Namespace" and item["metadata"].get("namespace") != NAMESPACE
    ]
