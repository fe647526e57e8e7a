"""`gen-dist explore interpolate`: walk from one latent to the next."""

from pathlib import Path
from typing import Literal

from rich.console import Console

from gen_dist.commands.explore.options import Log, Model, Numbers
from gen_dist.evaluation.protocol import Split
from gen_dist.sampling.animation import is_moving
from gen_dist.sampling.interpolate import PathKind
from gen_dist.sampling.latents import prior_of
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import load_model
from gen_dist.workflows.exhibit import keep
from gen_dist.workflows.families import require
from gen_dist.workflows.latent_pictures import interpolation, points_of

STEPS, MOVING_STEPS = 10, 32
NUM_POINTS = 7


def interpolate(
    model: Model,
    *,
    between: Numbers = (),
    seed: int = 0,
    path: Literal["auto", PathKind] = "auto",
    steps: int | None = None,
    data: str | None = None,
    split: Split = "test",
    out: Path = Path("interpolation.png"),
    log: Log = False,
) -> None:
    """Walk through the latent space from one sample to the next, and draw what lies between.

    A sheet has a row for each walk. An animation (a file that ends in .gif or .webp) shows all walks side by side,
    there and back. Samples are named by their number, counted from 0 row by row on the sheet of `gen-dist sample -n 64`
    with the same seed. With --data, a model that encodes walks between real images instead.

    The spherical path keeps to the lengths that normal latents have; the middle of a straight line is too short. It is
    taken where the model's latents are standard normal (which is measured), and the straight line elsewhere.

    Examples:
        gen-dist explore interpolate runs/dcgan-28/bundle --out interpolation.png
        gen-dist explore interpolate runs/dcgan-28/bundle --between 3 17 40 --out walk.gif
        gen-dist explore interpolate runs/vae-28/bundle --data fashion --between 0 1 2 --path linear

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias; it must decode.
        between: numbers of samples, or of images of the split; the first 7 when left out.
        seed: of the samples.
        path: spherical, linear, or auto.
        steps: pictures of a walk, both ends among them; 10 for a sheet and 32 for an animation when left out.
        data: URI of a dataset, or a built-in (digits, digits-edges, polygons, glyphs), to walk between its images.
        split: that the images are taken from.
        out: PNG file for a sheet, GIF or WebP file for an animation.
        log: log the picture to MLflow, to the run that trained the model if it is known there.
    """
    moving = is_moving(out)
    console = Console(highlight=False)
    bundle = load_model(model)
    learner = bundle.learner
    require(learner, "walk between latents", "decodes")
    dataset = None
    if data is not None:
        require(learner, "walk between images", "encodes", "decodes")
        dataset = dataset_of(data, console)
    points = points_of(learner, between or tuple(range(NUM_POINTS)), seed=seed, dataset=dataset, split=split)
    reason = ""
    if path == "auto":
        normal = prior_of(learner).standard_normal
        path = "spherical" if normal else "linear"
        reason = f", since the model's latents are {'' if normal else 'not '}standard normal"
    exhibit = interpolation(
        learner, points, steps=steps or (MOVING_STEPS if moving else STEPS), kind=path, moving=moving
    )
    console.print(f"{path} paths between {', '.join(map(str, points.numbers))}{reason}", soft_wrap=True)
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
