"""`gen-dist explore manifold`: the plane of a latent space of two dimensions."""

from pathlib import Path

from rich.console import Console

from gen_dist.commands.explore.options import Log, Model
from gen_dist.sampling.animation import is_moving
from gen_dist.sampling.explore import latent_plane
from gen_dist.sampling.grids import sample_grid
from gen_dist.workflows.evaluate import load_model
from gen_dist.workflows.exhibit import Exhibit, keep
from gen_dist.workflows.families import require


def manifold(
    model: Model,
    *,
    side: int = 20,
    out: Path = Path("manifold.png"),
    log: Log = False,
) -> None:
    """Draw the plane of a model with two latent dimensions: neighbours on the sheet are neighbours in latent space.

    Examples:
        gen-dist train vae-28 --data fashion --model.latent-dim 2 --name plane
        gen-dist explore manifold runs/plane/bundle --out manifold.png

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        side: images along each side.
        out: PNG file.
        log: log the picture to MLflow, to the run that trained the model if it is known there.
    """
    is_moving(out, may_move=False)
    console = Console(highlight=False)
    bundle = load_model(model)
    require(bundle.learner, "draw the plane of its latents", "samples", "decodes")
    exhibit = Exhibit((sample_grid(latent_plane(bundle.learner, side), side),))
    console.print(f"{side} x {side} images, each of an equal share of the prior", soft_wrap=True)
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
