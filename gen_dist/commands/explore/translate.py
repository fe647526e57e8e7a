"""`gen-dist explore translate`: what a model makes of other images."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.commands.explore.options import Log, Model
from gen_dist.evaluation.fidelity import fidelity
from gen_dist.evaluation.protocol import Split
from gen_dist.sampling.animation import is_moving
from gen_dist.sampling.grids import GREY, sample_grid
from gen_dist.sampling.translate import translation_sheet, translations
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import load_model
from gen_dist.workflows.exhibit import Exhibit, keep
from gen_dist.workflows.families import require


def translate(
    model: Model,
    *,
    data: str,
    split: Split = "test",
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    seed: int = 0,
    out: Path = Path("translations.png"),
    log: Log = False,
) -> None:
    """Let a model that makes one image from another translate the sources of a dataset.

    A row of the sheet holds a source, what the model made of it and, where sources and images are pairs, the image
    that it should have made.

    Examples:
        gen-dist explore translate runs/pix2pix-28/bundle --data shoes --out translations.png
        gen-dist explore translate runs/cyclegan-28/bundle --data s3://bucket/horses -n 16

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        data: URI of a dataset with sources (a folder or s3://bucket/prefix).
        split: that the sources are taken from.
        num: sources to translate.
        seed: of the choice of sources, and of noise if the model draws any.
        out: PNG file.
        log: log the picture to MLflow, to the run that trained the model if it is known there.
    """
    is_moving(out, may_move=False)
    console = Console(highlight=False)
    bundle = load_model(model)
    require(bundle.learner, "translate images", "translates")
    dataset = dataset_of(data, console)
    pairs = dataset.read(split, limit=num, seed=seed)
    if pairs.sources is None or dataset.spec.source is None:
        raise ValueError(f"{dataset.uri} has no sources to translate: import it with them (`gen-dist import --help`)")
    made = translations(bundle.learner, pairs.sources, seed=seed)
    sheet, together = translation_sheet(made, pairs, dataset.spec)
    text, figures = f"{len(made)} sources beside their translations", {}
    if dataset.spec.source.paired:
        figures = fidelity(made, pairs.images)
        text += f"; L1 {figures['l1']:.2f} of 255, PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.3f}"
    console.print(text, soft_wrap=True)
    exhibit = Exhibit((sample_grid(sheet, together, background=GREY),), figures=figures)
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
