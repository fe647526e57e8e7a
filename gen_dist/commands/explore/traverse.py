"""`gen-dist explore traverse`: what single latent dimensions stand for."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.commands.explore.options import Log, Model, Numbers
from gen_dist.evaluation.protocol import Split
from gen_dist.sampling.animation import is_moving
from gen_dist.sampling.latents import draw_latents, prior_of
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import load_model
from gen_dist.workflows.exhibit import keep
from gen_dist.workflows.families import require
from gen_dist.workflows.latent_pictures import influences, influences_view, points_of
from gen_dist.workflows.latent_pictures import traverse as draw

STEPS, MOVING_STEPS = 7, 25


def traverse(
    model: Model,
    *,
    dims: Numbers = (),
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    start: int = 0,
    seed: int = 0,
    steps: int | None = None,
    measured_on: int = 4,
    data: str | None = None,
    split: Split = "test",
    out: Path = Path("traversal.png"),
    log: Log = False,
) -> None:
    """Move one latent dimension at a time from -3 to 3 while all others stay, and see what it stands for.

    Without --dims the dimensions are shown that change the picture most: each is moved from one end to the other in a
    few samples, and the pixels' root mean square difference is what counts. For latents that are not standard normal
    (which is measured), the ends are 3 standard deviations from the mean of the dimension.

    A file that ends in .gif or .webp shows all chosen dimensions side by side, there and back.

    Examples:
        gen-dist explore traverse runs/vae-28/bundle --out traversal.png
        gen-dist explore traverse runs/vae-28/bundle --dims 0 5 7 --start 17 --out traversal.gif
        gen-dist explore traverse runs/vae-28/bundle --data fashion --start 3

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias; it must decode.
        dims: dimensions to show, from 0.
        num: how many dimensions to show when none are named.
        start: number of the sample to start from, counted from 0 row by row on the sheet of `gen-dist sample -n 64`
            with the same seed; or of an image of the split.
        seed: of the samples.
        steps: values of a dimension; 7 for a sheet and 25 for an animation when left out.
        measured_on: samples over which the change is measured; more take longer.
        data: URI of a dataset, or a built-in (digits, digits-edges, polygons, glyphs), to start from one of its images.
        split: that the image is taken from.
        out: PNG file for a sheet, GIF or WebP file for an animation.
        log: log the picture to MLflow, to the run that trained the model if it is known there.
    """
    moving = is_moving(out)
    console = Console(highlight=False)
    bundle = load_model(model)
    learner = bundle.learner
    require(learner, "move along latent dimensions", "decodes")
    dataset = None
    if data is not None:
        require(learner, "start from an image", "encodes", "decodes")
        dataset = dataset_of(data, console)
    first = points_of(learner, (start,), seed=seed, dataset=dataset, split=split)
    prior = prior_of(learner)
    drawn = draw_latents(learner, measured_on, seed=seed)
    with console.status("measuring what each dimension changes") as status:
        found = influences(
            learner, drawn, prior, dims, num, report=lambda share: status.update(f"measured {share:.0%} of dimensions")
        )
    exhibit = draw(
        learner, first.latents[0], prior, found, steps=steps or (MOVING_STEPS if moving else STEPS), moving=moving
    )
    console.print(influences_view(found, drawn, prior))
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
