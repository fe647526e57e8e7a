"""`gen-dist evaluate`: one model against real data and two anchors."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.protocol import Split
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import (
    DeviceChoice,
    chosen_device,
    holds_averaged_weights,
    load_model,
    record_view,
)
from gen_dist.workflows.extractor import ExtractorChoice, extractor_for
from gen_dist.workflows.judging import class_judge_for


def evaluate(
    model: Annotated[str, tyro.conf.Positional],
    *,
    data: str = "digits",
    split: Split = "test",
    num_samples: int = 1_000,
    num_scored: int = 1_000,
    extractor: ExtractorChoice = "auto",
    inception_weights: Path | None = None,
    matcher: str | None = None,
    seed: int = 0,
    device: DeviceChoice = "auto",
    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False,
) -> None:
    """Judge a model against real data, and show it between two anchors.

    The anchors are real training images, which is as good as it gets, and a Gaussian fitted to the pixels, which a
    model must beat. Figures mean something only together with the protocol below them: compare like with like. A model
    that draws for classes is also asked for each, and another classifier says how often it recognises what was asked.

    Examples:
        gen-dist evaluate models:/gen-dist-digits@champion --data digits
        gen-dist evaluate runs/dcgan-28/bundle --data s3://bucket/faces --num-samples 10000
        gen-dist evaluate runs/faces/bundle --data faces --extractor inception --inception-weights FILE
        gen-dist evaluate runs/drawn/bundle --data symbols --matcher runs/judge/bundle

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        data: URI of a dataset (a folder or s3://bucket/prefix), or a built-in (digits, digits-edges, polygons, glyphs).
        split: the images that the model is compared with.
        num_samples: images that the model draws.
        num_scored: images whose likelihood is averaged, for models that have one; 0 for none.
        extractor: of features: auto takes a classifier for labelled data, random convolutions for other data.
        inception_weights: safetensors file, for --extractor inception.
        matcher: the bundle of a model that says whether images show what their captions say: how often it finds the
            caption that an image was drawn for among 10.
        seed: of the model's noise.
        device: where to compute.
        as_json: print the record as JSON for programs instead of a table for people.
    """
    console = Console(stderr=as_json)
    bundle = load_model(model)
    dataset = dataset_of(data, console)
    where = chosen_device(device)
    features = extractor_for(dataset, extractor, inception_weights=inception_weights, device=where, console=console)
    class_judge = None
    if bundle.spec.class_names == dataset.spec.class_names:  # else it does not know the classes that it would be asked
        class_judge = class_judge_for(bundle.learner, dataset, device=where, console=console)
    evaluator = Evaluator(
        dataset,
        features,
        split=split,
        num_samples=num_samples,
        num_scored=num_scored,
        seed=seed,
        matcher=None if matcher is None else load_model(matcher),
        class_judge=class_judge,
    )
    with console.status(f"drawing and judging {num_samples} images"):
        record = evaluator.evaluate(bundle.learner.to(where), ema=holds_averaged_weights(bundle))
    if as_json:
        print(record.to_json(indent=2))
    else:
        console.print(record_view(record))
