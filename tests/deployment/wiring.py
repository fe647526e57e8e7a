"""What containers are wired to: volumes, probes, variables, and one another's settings. As in `checks`, in words."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from manifests import Manifest, Pod, name_of, of_kind, pods

# What each container writes at run time, below its read-only root. /dev/shm is there without being asked for.
WRITES = {
    "ray-head": ("/tmp/ray", "/home/gen-dist/cache", "/home/gen-dist/.config"),
    "ray-worker": ("/tmp/ray", "/home/gen-dist/cache", "/home/gen-dist/.config"),
    "autoscaler": ("/tmp/ray",),
    "migrate": ("/tmp",),
    "mlflow": ("/tmp",),
    "postgres": ("/var/lib/postgresql/data/pgdata", "/var/run/postgresql", "/tmp"),
    "redis": ("/data", "/run/redis"),
    "object-store": ("/data", "/tmp"),
}
_AUTOSCALER_VERBS = {"get", "list", "watch", "patch"}
_VARIABLE = re.compile(r"\$\(?([A-Z][A-Z0-9_]*)\)?")


def loose_mounts(objects: list[Manifest]) -> list[str]:
    """Every mount is of a volume, and every path that is written lies in one that the container's user may write to."""
    found = []
    for pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])} | {name: {} for name in pod.claims}
        mounted = {mount["name"] for part in pod.containers for mount in part.get("volumeMounts", [])}
        found += [f"{pod.owner}: nothing mounts the volume {name}" for name in sorted(set(volumes) - mounted)]
        found += [f"{pod.owner}: there is no volume {name}" for name in sorted(mounted - set(volumes))]
        for container in pod.containers:
            writable = [
                PurePosixPath(mount["mountPath"])
                for mount in container.get("volumeMounts", [])
                if not mount.get("readOnly") and volumes.get(mount["name"], {}).keys() <= {"name", "emptyDir"}
            ]
            found += [
                f"{pod.owner}, container {container['name']}: {path} can't be written"
                for path in WRITES.get(container["name"], ())
                if not any(PurePosixPath(path).is_relative_to(place) for place in writable)
            ]
        if pod.claims and pod.spec["securityContext"].get("fsGroup") != pod.spec["securityContext"]["runAsGroup"]:
            found.append(f"{pod.owner}: its volumes belong to root, for want of an fsGroup")
    return found


def deaf_probes(objects: list[Manifest]) -> list[str]:
    """Every probe asks a port on which its container listens, and a path that answers without password or token."""
    found = []
    for pod in pods(objects):
        for container in pod.spec["containers"]:
            ports = container.get("ports", [])
            listening = {port["containerPort"] for port in ports} | {port["name"] for port in ports}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                for asked in (container.get(kind, {}).get(how) for how in ("httpGet", "tcpSocket")):
                    where = f"{pod.owner}, container {container['name']}, {kind}"
                    if asked and asked["port"] not in listening:
                        found.append(f"{where}: nothing listens on {asked['port']}")
                    if asked and asked.get("path", "/health") not in ("/health", "/api/healthz"):
                        found.append(f"{where}: {asked['path']} may want a password")
    return found


def unknown_variables(objects: list[Manifest], secrets: dict[str, set[str]]) -> list[str]:
    """Every variable that a command line names is one that its container has; a job's runs on the head."""
    found = []
    running = pods(objects)
    for pod in running:
        for container in pod.containers:
            known = _variables(container, objects, secrets)
            text = " ".join([*container.get("command", []), *container.get("args", [])])
            found += [f"{pod.owner}: {name} is not set" for name in _VARIABLE.findall(text) if name not in known]
    head = next(pod for pod in running if pod.labels.get("ray.io/node-type") == "head")
    known = _variables(head.spec["containers"][0], objects, secrets)
    for item in of_kind(objects, "RayJob", "RayCronJob"):
        text = item["spec"].get("jobTemplate", item["spec"])["entrypoint"]
        found += [f"{name_of(item)}: {name} is not set" for name in _VARIABLE.findall(text) if name not in known]
    return found


def _variables(container: Manifest, objects: list[Manifest], secrets: dict[str, set[str]]) -> set[str]:
    maps = {item["metadata"]["name"]: item["data"] for item in of_kind(objects, "ConfigMap")}
    found = {variable["name"] for variable in container.get("env", [])}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= set(maps.get(source["configMapRef"]["name"], {}))
        if "secretRef" in source:
            found |= secrets.get(source["secretRef"]["name"], set())
    return found


def missing_files(objects: list[Manifest], secrets: dict[str, set[str]]) -> list[str]:
    """Every file that a variable or an argument names below a mounted ConfigMap or Secret is a key of it."""
    maps = {item["metadata"]["name"]: set(item["data"]) for item in of_kind(objects, "ConfigMap")}
    found = []
    for pod in pods(objects):
        for container in pod.containers:
            told = [variable.get("value", "") for variable in container.get("env", [])]
            text = " ".join([*told, *container.get("args", []), *container.get("command", [])])
            for mount, keys in _mounted_keys(pod, container, maps, secrets):
                named = set(re.findall(rf"{re.escape(mount)}/([\w.-]+)", text))
                found += [f"{pod.owner}: {mount} holds no {name}" for name in sorted(named - keys)]
                found += [f"{pod.owner}: nobody reads {mount}"] * (not named)
    return found


def _mounted_keys(
    pod: Pod, container: Manifest, maps: dict[str, set[str]], secrets: dict[str, set[str]]
) -> Iterator[tuple[str, set[str]]]:
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        volume = volumes.get(mount["name"], {})
        if "configMap" in volume:
            yield mount["mountPath"], maps.get(volume["configMap"]["name"], set())
        elif "secret" in volume:
            yield mount["mountPath"], secrets.get(volume["secret"]["secretName"], set())


def disagreements(objects: list[Manifest]) -> list[str]:
    """Settings that must be equal in several places, or that all safety hangs on."""
    found = []
    ray = [pod for pod in pods(objects) if "ray.io/cluster" in pod.labels]
    called = set()
    for pod in ray:
        settings = {one["name"]: one.get("value", "") for one in pod.spec["containers"][0]["env"]}
        called.add(settings.get("MLFLOW_TRACKING_URI", "").removeprefix("http://"))
        found += [f"{pod.owner}: wants no token"] * (settings.get("RAY_AUTH_MODE") != "token")
    server = next(pod for pod in pods(objects) if pod.labels.get("app.kubernetes.io/name") == "mlflow")
    options: dict[str, str] = dict(
        text.removeprefix("--").split("=", 1) for text in server.spec["containers"][0]["args"]
    )
    found += ["mlflow: lets everybody in"] * (options.get("app-name") != "basic-auth")
    found += ["mlflow: listens elsewhere"] * ({int(options.get("port", "0"))} != server.ports)
    missing = called - set(options.get("allowed-hosts", "").split(","))
    found += [f"mlflow: does not know itself as {name}" for name in sorted(missing)]
    databases: set[Any] = {options.get("backend-store-uri"), server.spec["initContainers"][0]["command"][-1]}
    for item in of_kind(objects, "ConfigMap"):
        databases |= set(re.findall(r"^database_uri = (.+)$", "\n".join(item["data"].values()), re.MULTILINE))
    found += [f"mlflow: several databases, {databases}"] * (len(databases) != 1)
    return found


def wide_rights(objects: list[Manifest]) -> list[str]:
    """The head's account, and no other, may do what the autoscaler does in this namespace, and nothing more."""
    found = [
        f"{name_of(item)}: rights beyond the namespace"
        for item in of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    ]
    for item in of_kind(objects, "Role"):
        found += [
            f"{name_of(item)}: {rule} is more than the autoscaler needs"
            for rule in item["rules"]
            if rule["resources"] not in (["pods"], ["rayclusters"]) or not set(rule["verbs"]) <= _AUTOSCALER_VERBS
        ]
    (head,) = (pod for pod in pods(objects) if pod.labels.get("ray.io/node-type") == "head")
    for item in of_kind(objects, "RoleBinding"):
        subjects = [subject["name"] for subject in item["subjects"]]
        if subjects != [head.spec["serviceAccountName"]]:
            found.append(f"{name_of(item)}: gives rights to {subjects}")
    return found
