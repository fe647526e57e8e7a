"""One error for each thing that a check must find: which check, what is wrong, and how to plant it in `production`."""

from collections.abc import Callable
from typing import Any

from manifests import Manifest, of_kind


def find(objects: list[Manifest], kind: str, name: str) -> Manifest:
    return next(item for item in of_kind(objects, kind) if item["metadata"].get("name") == name)


def spec_of(objects: list[Manifest], kind: str, name: str) -> Manifest:
    spec: Manifest = find(objects, kind, name)["spec"]
    return spec


def first_container(objects: list[Manifest], kind: str, name: str) -> Manifest:
    container: Manifest = spec_of(objects, kind, name)["template"]["spec"]["containers"][0]
    return container


def head(objects: list[Manifest]) -> Manifest:
    template: Manifest = spec_of(objects, "RayCluster", "gen-dist")["headGroupSpec"]["template"]["spec"]
    return template


def job(objects: list[Manifest]) -> Manifest:
    spec: Manifest = of_kind(objects, "RayJob")[0]["spec"]
    return spec


def remove(objects: list[Manifest], kind: str, name: str) -> None:
    objects.remove(find(objects, kind, name))


def mounts(objects: list[Manifest]) -> list[Manifest]:
    found: list[Manifest] = head(objects)["containers"][0]["volumeMounts"]
    return found


def probe(objects: list[Manifest]) -> Manifest:
    asked: Manifest = head(objects)["containers"][0]["livenessProbe"]["httpGet"]
    return asked


def arguments(objects: list[Manifest]) -> list[str]:
    found: list[str] = first_container(objects, "Deployment", "mlflow")["args"]
    return found


def set_variable(objects: list[Manifest], name: str, value: str) -> None:
    next(one for one in head(objects)["containers"][0]["env"] if one["name"] == name)["value"] = value


PLANTED: list[tuple[str, str, Callable[[list[Manifest]], Any]]] = [
    ("core schemas", "a misspelt field", lambda o: spec_of(o, "Deployment", "mlflow").update(replica=2)),
    ("core schemas", "a wrong type", lambda o: spec_of(o, "Deployment", "mlflow").update(replicas="two")),
    ("KubeRay schemas", "a misspelt field", lambda o: head(o)["containers"][0].update(volumeMount=[])),
    (
        "KubeRay schemas",
        "a wrong mode",
        lambda o: spec_of(o, "RayCluster", "gen-dist")["authOptions"].update(mode="on"),
    ),
    ("KubeRay schemas", "a missing part", lambda o: spec_of(o, "RayCluster", "gen-dist").pop("headGroupSpec")),
    ("KubeRay schemas", "a misspelt job", lambda o: job(o).update(entryPoint="python")),
    ("KubeRay schemas", "no schedule", lambda o: spec_of(o, "RayCronJob", "nightly-tune").pop("schedule")),
    ("KubeRay operator", "no token", lambda o: spec_of(o, "RayCluster", "gen-dist").pop("authOptions")),
    ("KubeRay operator", "another Ray", lambda o: spec_of(o, "RayCluster", "gen-dist").update(rayVersion="2.59.0")),
    ("KubeRay operator", "a restart", lambda o: head(o).update(restartPolicy="Always")),
    ("KubeRay operator", "a retry", lambda o: job(o).update(backoffLimit=2)),
    ("versions", "an old image", lambda o: head(o)["containers"][0].update(image="r.example/gen-dist-cpu:0.0.9")),
    ("entrypoints", "no such job", lambda o: job(o).update(entrypoint="python /opt/gen-dist/jobs/absent.py")),
    ("entrypoints", "a wrong option", lambda o: job(o).update(entrypoint=f"{job(o)['entrypoint']} --absent 1")),
    ("references", "no account", lambda o: remove(o, "ServiceAccount", "mlflow")),
    ("references", "no role", lambda o: remove(o, "Role", "gen-dist")),
    ("references", "no settings", lambda o: remove(o, "ConfigMap", "storage-settings")),
    ("references", "no Service", lambda o: remove(o, "Service", "redis")),
    ("references", "no cluster", lambda o: job(o).update(clusterSelector={"ray.io/cluster": "absent"})),
    (
        "references",
        "an unknown secret",
        lambda o: first_container(o, "Deployment", "mlflow")["envFrom"].append({"secretRef": {"name": "absent"}}),
    ),
    (
        "references",
        "an unknown key",
        lambda o: head(o)["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"].update(key="absent"),
    ),
    (
        "references",
        "another token",
        lambda o: spec_of(o, "RayCluster", "gen-dist")["authOptions"].update(secretName="no"),
    ),
    ("selectors", "a Service of nobody", lambda o: spec_of(o, "Service", "mlflow").update(selector={"a": "b"})),
    (
        "selectors",
        "a budget of nobody",
        lambda o: spec_of(o, "PodDisruptionBudget", "redis")["selector"].update(matchLabels={"a": "b"}),
    ),
    (
        "selectors",
        "a port of nobody",
        lambda o: spec_of(o, "Service", "mlflow")["ports"][0].update(targetPort="absent"),
    ),
    (
        "listening ports",
        "a deaf port in",
        lambda o: spec_of(o, "NetworkPolicy", "mlflow")["ingress"][0]["ports"][0].update(port=5001),
    ),
    (
        "listening ports",
        "a deaf port out",
        lambda o: spec_of(o, "NetworkPolicy", "ray-to-redis")["egress"][0]["ports"][0].update(port=6380),
    ),
    (
        "listening ports",
        "a strange port outside",
        lambda o: spec_of(o, "NetworkPolicy", "ray-to-s3")["egress"][0]["ports"][0].update(port=25),
    ),
    ("flows", "no way in", lambda o: spec_of(o, "NetworkPolicy", "postgres").update(ingress=[])),
    ("flows", "no way out", lambda o: remove(o, "NetworkPolicy", "ray-to-mlflow")),
    ("flows", "no way between Ray's pods", lambda o: remove(o, "NetworkPolicy", "ray-inside")),
    ("flows", "no denial", lambda o: [o.remove(item) for item in of_kind(o, "NetworkPolicy")]),
    (
        "flows",
        "an unknown host",
        lambda o: head(o)["containers"][0]["env"].append({"name": "A", "value": "http://absent:1"}),
    ),
    ("security", "root", lambda o: head(o).update(securityContext={})),
    (
        "security",
        "a writable root",
        lambda o: head(o)["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    (
        "security",
        "privileges in the autoscaler",
        lambda o: spec_of(o, "RayCluster", "gen-dist")["autoscalerOptions"].pop("securityContext"),
    ),
    (
        "security",
        "capabilities in an init container",
        lambda o: spec_of(o, "Deployment", "mlflow")["template"]["spec"]["initContainers"][0]["securityContext"].pop(
            "capabilities"
        ),
    ),
    ("security", "a token", lambda o: head(o).pop("automountServiceAccountToken")),
    ("security", "the newest image", lambda o: first_container(o, "StatefulSet", "redis").update(image="redis:latest")),
    ("security", "no requests", lambda o: first_container(o, "StatefulSet", "redis").pop("resources")),
    ("security", "no probe", lambda o: first_container(o, "Deployment", "mlflow").pop("livenessProbe")),
    ("secrets", "a Secret", lambda o: o.append({"kind": "Secret", "metadata": {"name": "a", "namespace": "gen-dist"}})),
    ("secrets", "a password", lambda o: first_container(o, "Deployment", "mlflow")["env"][0].update(value="x")),
    ("namespace", "another namespace", lambda o: find(o, "Service", "redis")["metadata"].update(namespace="default")),
    *(
        ("ways outside", f"no {name}", lambda o, name=name: remove(o, "NetworkPolicy", name))
        for name in (
            "default-deny",
            "dns",
            "ray-from-operator",
            "ray-from-prometheus",
            "autoscaler-to-kubernetes",
            "ray-to-s3",
            "mlflow-to-s3",
        )
    ),
    (
        "ways outside",
        "the metadata server",
        lambda o: spec_of(o, "NetworkPolicy", "ray-to-s3")["egress"][0]["to"][0]["ipBlock"].pop("except"),
    ),
    ("mounts", "no volume", lambda o: mounts(o)[0].update(name="absent")),
    ("mounts", "no sessions", lambda o: mounts(o).pop(0)),
    ("mounts", "another home", lambda o: mounts(o)[1].update(mountPath="/home/ray")),
    (
        "mounts",
        "another claim",
        lambda o: spec_of(o, "StatefulSet", "redis")["volumeClaimTemplates"][0]["metadata"].update(name="absent"),
    ),
    (
        "mounts",
        "root's volume",
        lambda o: spec_of(o, "StatefulSet", "postgres")["template"]["spec"]["securityContext"].pop("fsGroup"),
    ),
    ("probes", "a deaf port", lambda o: probe(o).update(port=52366)),
    ("probes", "a path with a password", lambda o: probe(o).update(path="/api/version")),
    (
        "probes",
        "a name of nothing",
        lambda o: first_container(o, "Deployment", "mlflow")["livenessProbe"]["httpGet"].update(port="absent"),
    ),
    ("variables", "no bucket", lambda o: find(o, "ConfigMap", "storage-settings")["data"].pop("BUCKET_URI")),
    ("variables", "a misspelt one", lambda o: job(o).update(entrypoint="python x.py $BUCKET_URL/digits")),
    ("files", "another key", lambda o: find(o, "ConfigMap", "mlflow-auth").update(data={"auth.ini": ""})),
    ("settings", "no password", lambda o: arguments(o).remove("--app-name=basic-auth")),
    ("settings", "another port", lambda o: arguments(o).append("--port=5001")),
    ("settings", "another name", lambda o: arguments(o).append("--allowed-hosts=localhost:*")),
    (
        "settings",
        "another database",
        lambda o: arguments(o).append("--backend-store-uri=postgresql://mlflow@db/mlflow"),
    ),
    ("settings", "no token", lambda o: set_variable(o, "RAY_AUTH_MODE", "disabled")),
    (
        "rights",
        "another subject",
        lambda o: find(o, "RoleBinding", "gen-dist")["subjects"][0].update(name="mlflow"),
    ),
    (
        "rights",
        "more",
        lambda o: find(o, "Role", "gen-dist")["rules"].append(
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
        ),
    ),
]
