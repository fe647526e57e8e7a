"""`gen-dist explore complete`: images finished from their upper part."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.commands.explore.options import Log, Model
from gen_dist.evaluation.protocol import Split
from gen_dist.sampling.animation import is_moving
from gen_dist.sampling.explore import completions
from gen_dist.sampling.grids import GREY, sample_grid
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import load_model
from gen_dist.workflows.exhibit import Exhibit, keep
from gen_dist.workflows.families import require


def complete(
    model: Model,
    *,
    data: str = "digits",
    split: Split = "test",
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    each: int = 6,
    rows: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    out: Path = Path("completions.png"),
    log: Log = False,
) -> None:
    """Let a model that draws from top to bottom finish images of which it is given the upper part.

    A row of the sheet holds an image, what the model sees of it, and what it made of that, several times.

    Examples:
        gen-dist explore complete runs/gated-pixelcnn-28/bundle --data fashion --out completions.png
        gen-dist explore complete models:/digits@champion --rows 3 --temperature 0.8

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        data: URI of a dataset (a folder or s3://bucket/prefix), or a built-in (digits, digits-edges, polygons, glyphs).
        split: that the images are taken from.
        num: images to finish.
        each: how often each.
        rows: known rows from the top; half of them when left out.
        seed: of the choice of images and of the noise.
        temperature: scale of the randomness; 1 is the model's own distribution.
        out: PNG file.
        log: log the picture to MLflow, to the run that trained the model if it is known there.
    """
    is_moving(out, may_move=False)
    console = Console(highlight=False)
    bundle = load_model(model)
    require(bundle.learner, "complete images", "completes")
    dataset = dataset_of(data, console)
    images = dataset.read(split, limit=num, seed=seed).images
    known = dataset.spec.height // 2 if rows is None else rows
    sheet = completions(bundle.learner, images, num_rows=known, num_each=each, seed=seed, temperature=temperature)
    labels = ("image", "given", "completions", *[""] * (each - 1))
    exhibit = Exhibit((sample_grid(sheet, each + 2, column_labels=labels, background=GREY),))
    console.print(f"{len(images)} images, {each} completions of each", soft_wrap=True)
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
