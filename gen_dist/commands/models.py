"""`gen-dist models`: what can be trained."""

import dataclasses
import json
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from gen_dist.learner import Learner, ModelConfig, capabilities
from gen_dist.models.table import FAMILIES, Family
from gen_dist.presets import PRESETS
from gen_dist.presets.preset import Preset
from gen_dist.types import DataSpec

# What a family can do does not depend on the data; the first of these that its preset accepts is built to ask it.
PROBES = tuple(
    DataSpec(channels=channels, height=size, width=size, class_names=tuple("0123456789"))
    for channels, size in ((1, 8), (1, 28), (1, 32), (3, 32), (3, 64), (3, 128))
)


def models(*, as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False) -> None:
    """List what can be trained: families with their papers, what each can do, and their presets.

    Capabilities: *samples* draws images, *scores* gives the log-probability of an image, *encodes* and *decodes* map
    between images and latent vectors, *classifies* gives class logits.

    Example:
        gen-dist models

        gen-dist models --json

    Args:
        as_json: print JSON for programs instead of a table for people.
    """
    rows = [_row(family) for family in FAMILIES]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("family", "kind", "paper", "can", "presets", title="What gen-dist can train", show_lines=True)
    for row in rows:
        paper = row["paper"]
        source = f"{paper['title']} ({paper['authors']}, {paper['year']})"
        source += f"\narXiv:{paper['arxiv']}" if paper["arxiv"] else ""
        presets = "\n".join(f"{preset['name']}: {preset['summary']}" for preset in row["presets"])
        table.add_row(row["family"], row["kind"], source, "\n".join(row["capabilities"]), presets)
    Console().print(table)


def _row(family: Family) -> dict[str, Any]:
    presets = [preset for preset in PRESETS.values() if type(preset.build().model) is family.config]
    return {
        "family": family.name,
        "kind": family.kind,
        "paper": dataclasses.asdict(family.paper),
        "capabilities": list(capabilities(_any_learner(presets))),
        "presets": [{"name": preset.name, "summary": preset.summary} for preset in presets],
    }


def _any_learner(presets: list[Preset]) -> Learner:
    """A learner of the family on the meta device, where building it costs no memory and no time."""
    refusals = []
    for preset in presets:
        config: ModelConfig = preset.build().model
        for spec in PROBES:
            try:
                with torch.device("meta"):
                    return config.build(spec)
            except ValueError as refusal:
                refusals.append(f"{preset.name} of {spec.shape}: {refusal}")
    raise ValueError(f"no preset of the family builds on any usual image: {'; '.join(refusals)}")
