"""`gen-dist explore truncation`: fidelity against variety."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.commands.explore.options import Log, Model
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.protocol import Split
from gen_dist.sampling.animation import is_moving
from gen_dist.workflows.curve import Setting, curve, samples_at
from gen_dist.workflows.curve_view import SHOWN, curve_sheet, curve_view
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import DeviceChoice, chosen_device, load_model
from gen_dist.workflows.exhibit import keep
from gen_dist.workflows.extractor import ExtractorChoice, extractor_for
from gen_dist.workflows.families import require


def truncation(
    model: Model,
    *,
    temperatures: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1),
    thresholds: tuple[float, ...] = (),
    data: str = "digits",
    split: Split = "test",
    num_samples: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1_000,
    extractor: ExtractorChoice = "auto",
    inception_weights: Path | None = None,
    seed: int = 0,
    device: DeviceChoice = "auto",
    out: Path = Path("truncation.png"),
    log: Log = False,
) -> None:
    """Scale a model's randomness down and see what it gains in fidelity (precision) and loses in variety (recall).

    Below temperature 1, samples keep to what the model finds most typical. Every family that samples knows a
    temperature; its page in docs/models says what it scales. Families that truncate their latents (BigGAN) are judged
    over thresholds instead with --thresholds. The sheet has the curve, and samples at each of its points from the same
    seed; a file that ends in .gif or .webp shows the samples as they change.

    Examples:
        gen-dist explore truncation runs/dcgan-28/bundle --data fashion --out truncation.png
        gen-dist explore truncation runs/glow-28/bundle --data fashion --temperatures 0.6 0.7 0.8 0.9 1 --out hot.webp
        gen-dist explore truncation runs/biggan-32/bundle --data cifar --thresholds 0.2 0.5 1 2 inf

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias; it must sample.
        temperatures: scales of the randomness, each above 0; 1 is the model's own distribution.
        thresholds: that latents are truncated at, each above 0, instead of temperatures; inf is the model as it is.
        data: URI of the dataset that the model was trained on, or a built-in (digits, digits-edges, polygons, glyphs).
        split: the images that samples are compared with.
        num_samples: images drawn at each temperature.
        extractor: of features: auto takes a classifier for labelled data, random convolutions for other data.
        inception_weights: safetensors file, for --extractor inception.
        seed: of the noise.
        device: where to compute.
        out: PNG file for a sheet, GIF or WebP file for an animation.
        log: log the picture and the figures to MLflow, to the run that trained the model if it is known there.
    """
    moving = is_moving(out)
    console = Console(highlight=False)
    bundle = load_model(model)
    require(bundle.learner, "draw images", "samples")
    setting: Setting = "threshold" if thresholds else "temperature"
    values = thresholds or temperatures
    if thresholds:
        require(bundle.learner, "truncate its latents", "samples", "truncates")
    dataset = dataset_of(data, console)
    where = chosen_device(device)
    learner = bundle.learner.to(where)
    features = extractor_for(dataset, extractor, inception_weights=inception_weights, device=where, console=console)
    with console.status("judging real images") as status:
        evaluator = Evaluator(dataset, features, split=split, num_samples=num_samples, num_scored=0)
        anchors = evaluator.anchors()
        points = curve(
            learner,
            evaluator,
            setting,
            values,
            num_samples=num_samples,
            seed=seed,
            report=lambda share: status.update(f"drew and judged {share:.0%} of the curve"),
        )
        rows = [samples_at(learner, setting, value, SHOWN, seed=seed) for value in values]
    exhibit = curve_sheet(points, rows, anchors, setting=setting, moving=moving)
    console.print(curve_view(points, anchors, setting=setting))
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
