"""infra/compose.yaml: its services find each other, and are told what their like on Kubernetes are told."""

import re
from typing import Any

import pytest
import yaml
from manifests import ROOT, build, pods

TEXT = (ROOT / "infra" / "compose.yaml").read_text()
OWN = {"artifacts-destination", "allowed-hosts"}  # what MLflow is told differently
LISTENS = re.compile(r"^-{1,2}(?:s3\.)?port=(\d+)$")


def options(words: list[str]) -> dict[str, str]:
    """The `--name=value` among words."""
    return dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--") and "=" in word)


def loose_ends(text: str) -> list[str]:
    """Volumes, addresses and settings that lead nowhere or differ from Kubernetes'."""
    tree = yaml.safe_load(text)
    services: dict[str, dict[str, Any]] = tree["services"]
    words = {
        name: [str(word) for part in one.get("command", []) for word in part.split()] for name, one in services.items()
    }
    ports = {name: {found[1] for word in listed if (found := LISTENS.match(word))} for name, listed in words.items()}
    ports["postgres"].add("5432")  # PostgreSQL's own choice
    found = []
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            if source.startswith(".") and not (ROOT / "infra" / source).is_file():
                found.append(f"{name}: there is no {source}")
            if not source.startswith(".") and source not in tree["volumes"]:
                found.append(f"{name}: there is no volume {source}")
            if service["image"].startswith("gen-dist") and "/home" not in target and target not in str(service):
                found.append(f"{name}: nobody reads {target}")
        told = [*words[name], *map(str, service.get("environment", {}).values())]
        for host, port in re.findall(r"(?:^|[@/=])([a-z][a-z-]*):(\d+)(?=$|[/,])", "\n".join(told), re.MULTILINE):
            if port not in ports.get(host, set()):
                found.append(f"{name}: nothing listens on {host}:{port}")
        asked = re.findall(r"127\.0\.0\.1:(\d+)/", str(service.get("healthcheck", {})))
        found += [f"{name}: nothing answers on {port}" for port in asked if port not in ports[name] | {"52365"}]
        published = {entry.rsplit(":", 1)[1] for entry in service.get("ports", [])}
        found += [f"{name}: {port} is published in vain" for port in published - ports[name] - {"8265"}]
    return found + _differences(services, words)


def _differences(services: dict[str, dict[str, Any]], words: dict[str, list[str]]) -> list[str]:
    found = []
    for pod in pods(build("local")):
        for container in pod.containers:
            like = services.get(container["name"])
            if like is None:
                continue
            here, there = options(words[container["name"]]), options(container.get("args", []))
            if container["name"] == "mlflow":
                found += [f"mlflow: --{key} differs" for key in there if key not in OWN and here.get(key) != there[key]]
            for variable in container.get("env", []):
                value = like["environment"].get(variable["name"])
                if value is None and variable["name"] != "PGDATA":  # Docker's volumes hold no lost+found
                    found.append(f"{container['name']}: {variable['name']} is missing")
                if "value" in variable and value not in (None, variable["value"]):
                    found.append(f"{container['name']}: {variable['name']} differs")
    return found


def test_compose_has_no_loose_ends() -> None:
    assert loose_ends(TEXT) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("volumes:\n  database:\n", "volumes:\n"),
        ("../k8s/base/basic_auth.ini", "../k8s/base/auth.ini"),
        ("MLFLOW_TRACKING_URI: http://mlflow:5000", "MLFLOW_TRACKING_URI: http://mlflow:5001"),
        ("--address=ray-head:6379", "--address=head:6379"),
        ("-s3.port=8333", "-s3.port=8334"),
        ("http://127.0.0.1:5000/health", "http://127.0.0.1:5001/health"),
        ("127.0.0.1:8333:8333", "127.0.0.1:8333:8334"),
        ("--app-name=basic-auth", "--app-name=none"),
        ("  RAY_JOB_STOP_WAIT_TIME_S", "  RAY_JOB_STOP_WAIT"),
        ("POSTGRES_DB: mlflow", "POSTGRES_DB: other"),
    ],
)
def test_a_loose_end_is_found(before: str, after: str) -> None:
    assert before in TEXT
    assert loose_ends(TEXT.replace(before, after, 1)) != []
