"""`gen-dist explore reconstruct`: what encoding and decoding leave of images."""

from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console

from gen_dist.commands.explore.options import Log, Model
from gen_dist.evaluation.protocol import Split
from gen_dist.sampling.animation import is_moving
from gen_dist.sampling.explore import reconstructions
from gen_dist.sampling.grids import GREY, sample_grid
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import load_model
from gen_dist.workflows.exhibit import Exhibit, keep
from gen_dist.workflows.families import require


def reconstruct(
    model: Model,
    *,
    data: str = "digits",
    split: Split = "test",
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 12,
    seed: int = 0,
    out: Path = Path("reconstructions.png"),
    log: Log = False,
) -> None:
    """Encode images and decode them again: the upper row holds the images, the lower one what is left of them.

    Examples:
        gen-dist explore reconstruct runs/vae-28/bundle --data fashion --out reconstructions.png
        gen-dist explore reconstruct models:/digits@champion -n 20

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        data: URI of a dataset (a folder or s3://bucket/prefix), or a built-in (digits, digits-edges, polygons, glyphs).
        split: that the images are taken from.
        num: images to reconstruct.
        seed: of the choice of images, and of noise if the model draws any.
        out: PNG file.
        log: log the picture to MLflow, to the run that trained the model if it is known there.
    """
    is_moving(out, may_move=False)
    console = Console(highlight=False)
    bundle = load_model(model)
    require(bundle.learner, "reconstruct images", "encodes", "decodes")
    images = dataset_of(data, console).read(split, limit=num, seed=seed).images
    rebuilt = reconstructions(bundle.learner, images, seed=seed)
    error = float((images.float() - rebuilt.float()).square().mean().sqrt())
    sheet = sample_grid(torch.cat([images, rebuilt]), len(images), row_labels=("image", "model"), background=GREY)
    console.print(
        f"{len(images)} images above their reconstructions; root mean square error {error:.2f} of 255", soft_wrap=True
    )
    exhibit = Exhibit((sheet,), figures={"root_mean_square_error": error})
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
