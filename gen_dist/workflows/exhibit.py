"""A finished picture of a model: shown, kept as a file, and logged to MLflow where that is asked for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from gen_dist.bundle.bundle import Bundle
from gen_dist.sampling.animation import save_picture
from gen_dist.tracking.gallery import log_picture

RUN = "run"
"""Entry of a bundle's provenance: the run that trained it."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A picture, or a moving one.

    Attributes:
        frames: one for a picture that stands still.
        held: numbers of the frames that stay longer.
        figures: JSON values, for programs.
    """

    frames: tuple[Image.Image, ...]
    held: tuple[int, ...] = (0,)
    figures: Mapping[str, Any] = field(default_factory=dict)


def keep(exhibit: Exhibit, out: Path, *, bundle: Bundle, model: str, log: bool, console: Console) -> None:
    """Write the picture, say where it is, and log it and its figures to MLflow if asked to.

    Args:
        exhibit: what to keep.
        out: its file.
        bundle: the model that it shows.
        model: what the model was called on the command line.
        log: whether to log it: to the run that trained the model, if MLflow knows it, or else to a new run.
        console: where to say it.

    Raises:
        ValueError: the file's name does not suit, or MLflow refuses.
    """
    save_picture(exhibit.frames, out, held=exhibit.held)
    kind = f"{len(exhibit.frames)} frames" if len(exhibit.frames) > 1 else "picture"
    console.print(f"{kind}: {out}", highlight=False, soft_wrap=True)
    if not log:
        return
    run = bundle.provenance.get(RUN)
    place = log_picture(
        out,
        figures=json.dumps(dict(exhibit.figures), indent=1) if exhibit.figures else None,
        trained_by=run if isinstance(run, str) else None,
        model=model,
        digest=bundle.digest,
    )
    new = " (a new one: MLflow does not know which run trained this model)" if place.new else ""
    console.print(f"logged as {place.artifact} of run {place.run_name}{new}", highlight=False, soft_wrap=True)
