"""KubeRay's CustomResourceDefinitions as strict JSON Schemas."""

import copy
import functools
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from manifests import ROOT, Manifest

CRDS_VARIABLE = "GEN_DIST_KUBERAY_CRDS"


@functools.cache
def schemas() -> dict[tuple[str, str], Manifest]:
    """By API version and kind; where GEN_DIST_KUBERAY_CRDS names a folder, it must be there."""
    wanted = os.environ.get(CRDS_VARIABLE)
    folder = Path(wanted) if wanted else ROOT.parent / "shared" / "kuberay-crds"
    files = sorted(folder.glob("ray.io_*.yaml"))
    if not files and wanted:
        pytest.fail(f"{CRDS_VARIABLE} is {wanted!r}, and no ray.io_*.yaml is there")
    if not files:
        pytest.skip(
            f"KubeRay's CRDs are not in {folder}: copy helm-chart/kuberay-operator/crds of ray-project/kuberay there, "
            f"or name their folder in {CRDS_VARIABLE}"
        )
    found = {}
    for path in files:
        definition = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        names, group = definition["spec"]["names"], definition["spec"]["group"]
        for version in definition["spec"]["versions"]:
            found[f"{group}/{version['name']}", names["kind"]] = version["schema"]["openAPIV3Schema"]
    return found


@functools.cache
def strict_schema(api_version: str, kind: str) -> Manifest:
    """The schema of one kind that refuses what Kubernetes would silently drop."""
    assert (api_version, kind) in schemas(), f"KubeRay has no {kind} {api_version}"
    schema: Manifest = _strict(copy.deepcopy(schemas()[api_version, kind]))
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _strict(value) for key, value in schema.items() if key != "description"}
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("anyOf", None)
        schema["type"] = ["integer", "string"]
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        preserved = schema.get("x-kubernetes-preserve-unknown-fields", False)
        schema.setdefault("additionalProperties", preserved)
    return schema


def with_defaults(value: Any, schema: Manifest) -> Any:
    """The value as the API server completes it before it validates."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        completed = {name: part["default"] for name, part in properties.items() if "default" in part} | value
        other = schema.get("additionalProperties")
        for name, part in completed.items():
            known = properties.get(name, other)
            if isinstance(known, dict):
                completed[name] = with_defaults(part, known)
        return completed
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [with_defaults(part, schema["items"]) for part in value]
    return value


def problems(item: Manifest) -> list[str]:
    """What is wrong with a RayCluster, RayJob or RayCronJob."""
    schema = strict_schema(item["apiVersion"], item["kind"])
    errors = jsonschema.Draft7Validator(schema).iter_errors(with_defaults(item, schema))
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]
