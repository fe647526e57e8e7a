"""`gen-dist explore neighbours`: are samples copies of training images?"""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.commands.explore.options import Log, Model
from gen_dist.sampling.animation import is_moving
from gen_dist.sampling.draw import draw_samples
from gen_dist.workflows.copies import check_shape, copies_sheet, copies_view, copy_report, verdict
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import DeviceChoice, chosen_device, load_model
from gen_dist.workflows.exhibit import keep
from gen_dist.workflows.extractor import ExtractorChoice, extractor_for
from gen_dist.workflows.families import require


def neighbours(
    model: Model,
    *,
    data: str = "digits",
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1_000,
    rows: int = 8,
    nominal: float | None = None,
    extractor: ExtractorChoice = "auto",
    inception_weights: Path | None = None,
    seed: int = 0,
    device: DeviceChoice = "auto",
    out: Path = Path("neighbours.png"),
    log: Log = False,
) -> None:
    """Find the training images nearest to samples, in pixels and in features: has the model learned them by heart?

    A sample is a near-copy if it lies nearer to a training image than 99 % of new real images do: half of those that
    are held out for validation and test set this threshold. The other half shows that about 1 % of real images count as
    near-copies too; clearly more among samples means copying. The sheet has the most suspicious samples.

    Examples:
        gen-dist explore neighbours runs/dcgan-28/bundle --data fashion --out neighbours.png
        gen-dist explore neighbours models:/digits@champion -n 500 --rows 12

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias; it must sample.
        data: URI of the dataset that the model was trained on, or a built-in (digits, digits-edges, polygons, glyphs).
        num: samples to look at.
        rows: of the sheet, one for each sample.
        nominal: share of new real images that count as near-copies; 0.01 when left out, or more where so few images are
            held out that less than 5 would set the threshold.
        extractor: of features: auto takes a classifier for labelled data, random convolutions for other data.
        inception_weights: safetensors file, for --extractor inception.
        seed: of the samples.
        device: where to draw and to compute features.
        out: PNG file.
        log: log the picture and the figures to MLflow, to the run that trained the model if it is known there.
    """
    is_moving(out, may_move=False)
    console = Console(highlight=False)
    bundle = load_model(model)
    require(bundle.learner, "draw images", "samples")
    dataset = dataset_of(data, console)
    where = chosen_device(device)
    features = extractor_for(dataset, extractor, inception_weights=inception_weights, device=where, console=console)
    with console.status(f"drawing {num} samples") as status:
        samples = draw_samples(bundle.learner.to(where), num, seed=seed)
        check_shape(samples, dataset.spec)
        report = copy_report(samples, dataset, features, nominal=nominal, tell=status.update)
    console.print(copies_view(report))
    console.print(verdict(report), soft_wrap=True)
    exhibit = copies_sheet(report, dataset, rows=rows)
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
