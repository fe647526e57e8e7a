"""`gen-dist registry ...`: which models are registered, and which of them is champion."""

import json
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from gen_dist.tracking import aliases
from gen_dist.tracking.aliases import RegisteredVersion
from gen_dist.tracking.registry import DISTANCES_TAG, parse_model_uri

TrackingUri = Annotated[str | None, tyro.conf.arg(metavar="URI")]


def list_models(
    name: Annotated[str | None, tyro.conf.Positional] = None, /, *, tracking_uri: TrackingUri = None
) -> None:
    """List registered models with their versions, newest first, and what the aliases point to.

    Examples:
        gen-dist registry list
        gen-dist registry list gen-dist-digits

    Args:
        name: one registered model; all of them by default.
        tracking_uri: MLflow's store; MLFLOW_TRACKING_URI or mlflow.db in this folder by default.
    """
    versions = aliases.list_versions(name, tracking_uri=tracking_uri)
    if not versions:
        print("no model is registered yet: `gen-dist tune` and `gen-dist train --register NAME` register their result")
        return
    table = Table()
    for heading in ("model", "version", "alias"):
        table.add_column(heading, no_wrap=True)
    for heading in ("family", "Fréchet distance", "registered (UTC)", "why"):
        table.add_column(heading)
    for version in versions:
        created = version.created.strftime("%Y-%m-%d %H:%M")
        tags = version.tags
        table.add_row(
            version.name,
            str(version.version),
            ", ".join(f"@{alias}" for alias in version.aliases),
            tags.get("gen_dist.family", ""),
            distances(version),
            created,
            tags.get(aliases.REASON_TAG, ""),
        )
    Console().print(table)


def show(model: Annotated[str, tyro.conf.Positional], /, *, tracking_uri: TrackingUri = None) -> None:
    """Show all that the registry knows of one version.

    Examples:
        gen-dist registry show models:/gen-dist-digits@champion
        gen-dist registry show models:/gen-dist-digits/3

    Args:
        model: models:/NAME@ALIAS or models:/NAME/VERSION.
        tracking_uri: MLflow's store; MLFLOW_TRACKING_URI or mlflow.db in this folder by default.
    """
    name, number, alias = parse_model_uri(model)
    if alias is not None:
        number = aliases.resolve_alias(name, alias, tracking_uri=tracking_uri)
    assert number is not None, "a model URI names a version or an alias"
    version = aliases.get_version(name, number, tracking_uri=tracking_uri)
    print(f"models:/{version.name}/{version.version}")
    print(f"  aliases     {', '.join(version.aliases) or 'none'}")
    print(f"  registered  {version.created.isoformat(timespec='seconds')}")
    print(f"  run         {version.run_id or 'unknown'}")
    width = max((len(key) for key in version.tags), default=0)
    for key, value in sorted(version.tags.items()):
        print(f"  {key:<{width}}  {value}")


def promote(
    name: Annotated[str, tyro.conf.Positional],
    version: Annotated[int, tyro.conf.Positional],
    /,
    *,
    reason: str = "by hand",
    tracking_uri: TrackingUri = None,
) -> None:
    """Make a version the champion, whatever its figures.

    Example:
        gen-dist registry promote gen-dist-digits 3 --reason "cleaner sevens"

    Args:
        name: registered model.
        version: number of the version.
        reason: is kept as a tag of the version.
        tracking_uri: MLflow's store; MLFLOW_TRACKING_URI or mlflow.db in this folder by default.
    """
    aliases.promote(name, version, reason=reason, tracking_uri=tracking_uri)
    print(f"models:/{name}@champion is version {version} now")


def rollback(name: Annotated[str, tyro.conf.Positional], /, *, tracking_uri: TrackingUri = None) -> None:
    """Give the champion's alias back to the champion before.

    Example:
        gen-dist registry rollback gen-dist-digits

    Args:
        name: registered model.
        tracking_uri: MLflow's store; MLFLOW_TRACKING_URI or mlflow.db in this folder by default.
    """
    version = aliases.rollback(name, tracking_uri=tracking_uri)
    print(f"models:/{name}@champion is version {version} again")


def distances(version: RegisteredVersion) -> str:
    """The Fréchet distances of the seeds, as text."""
    values = [float(value) for value in json.loads(version.tags.get(DISTANCES_TAG, "[]"))]
    return ", ".join(f"{value:.4g}" for value in values)
