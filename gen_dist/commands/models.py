"""`gen-dist models`: what can be trained."""

import dataclasses
import json
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gen_dist.capabilities import capabilities
from gen_dist.config import paths
from gen_dist.models.table import FAMILIES, Family
from gen_dist.presets import preset
from gen_dist.workflows.families import any_learner, presets_of


def models(
    search: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    *,
    settings: str | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False,
) -> None:
    """List what can be trained: families with their papers, what each can do, and their presets.

    Capabilities: *samples* draws images, *scores* gives the log-probability of an image, *encodes* and *decodes* map
    between images and latent vectors, *completes* continues images whose upper part is given, *classifies* gives class
    logits, *matches* says how well a caption fits an image, *translates* makes one image from another, *truncates*
    can cut off the tails of its latents. The last part of a preset's name is the size of the images that it is made
    for.

    Examples:
        gen-dist models
        gen-dist models flow
        gen-dist models pixelcnn vae-8
        gen-dist models --settings dcgan-32
        gen-dist models --json

    Args:
        search: kinds, or parts of the names of families or presets; all when left out.
        settings: name of a preset: list all its settings instead, each as the option that changes it.
        as_json: print JSON for programs instead of a list for people.
    """
    if settings is not None:
        _list_settings(settings)
        return
    rows = [row for row in map(_row, FAMILIES) if not search or any(_matches(row, words) for words in search)]
    if not rows:
        raise ValueError(f"no kind, family or preset is called like {' or '.join(search)}; `gen-dist models` lists all")
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    console = Console(highlight=False)
    for row in rows:
        paper = row["paper"]
        arxiv = f", arXiv:{paper['arxiv']}" if paper["arxiv"] else ""
        console.print(Text(row["family"], style="bold"), f"({row['kind']})")
        console.print(Padding(f"{paper['title']}. {paper['authors']} ({paper['year']}){arxiv}", (0, 0, 0, 2)))
        console.print(Padding(Text(", ".join(row["capabilities"]) or "trains", style="italic"), (0, 0, 0, 2)))
        presets = Table.grid(padding=(0, 2))
        for one in row["presets"]:
            presets.add_row(Text(one["name"], style="cyan", no_wrap=True), one["summary"])
        console.print(Padding(presets, (0, 0, 1, 4)))


def _list_settings(name: str) -> None:
    table = Table.grid(padding=(0, 2))
    for path, value in paths(preset(name)).items():
        shown = " ".join(map(str, value)) or "()" if isinstance(value, tuple) else str(value)
        table.add_row(Text(f"--{path.replace('_', '-')}", style="cyan", no_wrap=True), shown)
    Console(highlight=False).print(table)


def _matches(row: dict[str, Any], words: str) -> bool:
    names = [row["family"], *(preset["name"] for preset in row["presets"])]
    return words == row["kind"] or any(words in name for name in names)


def _row(family: Family) -> dict[str, Any]:
    presets = presets_of(family)
    return {
        "family": family.name,
        "kind": family.kind,
        "paper": dataclasses.asdict(family.paper),
        "capabilities": list(capabilities(any_learner(presets))),
        "presets": [{"name": one.name, "summary": one.summary} for one in presets],
    }
