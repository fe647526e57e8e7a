"""The aliases of a registered model and the line of its champions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from gen_dist.tracking.challenge import CHALLENGER, CHAMPION
from gen_dist.tracking.location import store_uri
from gen_dist.tracking.registry_store import RegistryError, registry_client

VERIFIED_TAG = "gen_dist.verified"
REASON_TAG = "gen_dist.reason"
HISTORY_TAG = "gen_dist.champions"
_KEPT_CHAMPIONS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredVersion:
    """One version as `gen-dist registry` shows it.

    Attributes:
        name: of the registered model.
        version: its number.
        aliases: that point to it.
        created: when.
        run_id: the run that trained it, or "".
        tags: all of them.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    created: datetime
    run_id: str
    tags: dict[str, str]


def list_versions(name: str | None = None, *, tracking_uri: str | None = None) -> list[RegisteredVersion]:
    """Versions of one registered model or of all, newest first within each.

    Raises:
        RegistryError: there is no such model, or MLflow can't be reached.
    """
    with registry_client(store_uri(tracking_uri)) as client:
        models = list(client.search_registered_models()) if name is None else [client.get_registered_model(name)]
        versions = []
        for model in sorted(models, key=lambda model: str(model.name)):
            found = client.search_model_versions(f"name = '{model.name}'")
            versions += sorted((_describe(version, model.aliases) for version in found), key=lambda v: -v.version)
        return versions


def get_version(name: str, version: int, *, tracking_uri: str | None = None) -> RegisteredVersion:
    """One version.

    Raises:
        RegistryError: there is none of that number.
    """
    with registry_client(store_uri(tracking_uri)) as client:
        return _describe(client.get_model_version(name, str(version)), client.get_registered_model(name).aliases)


def resolve_alias(name: str, alias: str, *, tracking_uri: str | None = None) -> int:
    """The version that an alias points to.

    Raises:
        RegistryError: there is no such model or alias.
    """
    with registry_client(store_uri(tracking_uri)) as client:
        return int(client.get_model_version_by_alias(name, alias).version)


def _describe(version: ModelVersion, aliases: Mapping[str, str | int]) -> RegisteredVersion:
    number = int(version.version)
    return RegisteredVersion(
        name=str(version.name),
        version=number,
        aliases=tuple(sorted(alias for alias, target in aliases.items() if int(target) == number)),
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        run_id=version.run_id or "",
        tags=dict(version.tags),
    )


def promote(name: str, version: int, *, reason: str = "by hand", tracking_uri: str | None = None) -> None:
    """Make a version champion whatever its figures.

    Raises:
        RegistryError: there is no such version, or it was never proven to draw the samples that were registered.
    """
    with registry_client(store_uri(tracking_uri)) as client:
        if VERIFIED_TAG not in client.get_model_version(name, str(version)).tags:
            raise RegistryError(
                f"models:/{name}/{version} was never proven to draw the samples of its bundle: register it again"
            )
        crown(client, name, version, f"promoted {reason}")


def rollback(name: str, *, tracking_uri: str | None = None) -> int:
    """Give the champion's alias back to the champion before; returns its version.

    Raises:
        RegistryError: there is no champion, or none before it.
    """
    with registry_client(store_uri(tracking_uri)) as client:
        current = champion_version(client, name)
        if current is None:
            raise RegistryError(f"{name!r} has no champion, so there is nothing to take back")
        existing = {int(version.version) for version in client.search_model_versions(f"name = '{name}'")}
        line = [version for version in _history(client, name) if version in existing]
        while line and line[-1] == current:
            line.pop()
        if not line:
            raise RegistryError(f"version {current} is the first champion of {name!r}: there is none to go back to")
        _set_champion(client, name, line[-1], f"rolled back from version {current}", line)
        return line[-1]


def champion_version(client: MlflowClient, name: str) -> int | None:
    """The version that is champion now, or None."""
    target = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if target is None else int(target)


def crown(client: MlflowClient, name: str, version: int, reason: str) -> None:
    """Make a version champion and add it to the line."""
    line, current = _history(client, name), champion_version(client, name)
    if current is not None and line[-1:] != [current]:
        line.append(current)  # somebody has moved the alias by other means
    if line[-1:] != [version]:
        line.append(version)
    _set_champion(client, name, version, reason, line)


def set_challenger(client: MlflowClient, name: str, version: int, reason: str) -> None:
    """Make a version challenger."""
    client.set_model_version_tag(name, str(version), REASON_TAG, reason)
    client.set_registered_model_alias(name, CHALLENGER, str(version))


def _set_champion(client: MlflowClient, name: str, version: int, reason: str, line: list[int]) -> None:
    client.set_model_version_tag(name, str(version), REASON_TAG, reason)
    client.set_registered_model_alias(name, CHAMPION, str(version))
    client.set_registered_model_tag(name, HISTORY_TAG, json.dumps(line[-_KEPT_CHAMPIONS:]))
    challenger = client.get_registered_model(name).aliases.get(CHALLENGER)
    if challenger is not None and int(challenger) == version:
        client.delete_registered_model_alias(name, CHALLENGER)


def _history(client: MlflowClient, name: str) -> list[int]:
    return [int(version) for version in json.loads(client.get_registered_model(name).tags.get(HISTORY_TAG, "[]"))]
