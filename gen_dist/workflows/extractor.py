"""The feature extractor for a dataset: trained once where it has to be, then taken from the cache."""

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from gen_dist.bundle.bundle import Bundle, BundleError, load_bundle, save_bundle
from gen_dist.capabilities import Classifies
from gen_dist.config import RunConfig
from gen_dist.data.dataset import Dataset
from gen_dist.evaluation.extractor import CHUNK, FEATURE_SCALE, ClassifierExtractor, Extractor
from gen_dist.evaluation.inception import InceptionExtractor
from gen_dist.evaluation.random_features import RandomExtractor
from gen_dist.learner import Learner
from gen_dist.presets import preset
from gen_dist.sampling.draw import device_of
from gen_dist.training.fit import train_to_end
from gen_dist.types import DataSpec
from gen_dist.workflows.progress import RunProgress

ExtractorChoice = Literal["auto", "classifier", "random", "inception"]

CACHE_VARIABLE = "GEN_DIST_CACHE"
MAX_MEASURED = 10_000
"""Images that the accuracy and the scale of features are measured on at most."""
JUDGE_SEED = 1
"""Of the classifier that says which class an image shows: another network than the extractor, whose seed is 0."""
SMALL_IMAGE_PIXELS = 16
"""Up to this side, images go to the small classifier."""


def extractor_for(
    dataset: Dataset,
    choice: ExtractorChoice = "auto",
    *,
    inception_weights: Path | None = None,
    cache: Path | None = None,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Extractor:
    """The extractor to judge models of a dataset with.

    Args:
        dataset: the data.
        choice: "auto" is a classifier for data with two classes or more, and random features for other data.
        inception_weights: a file in safetensors format, for "inception" only.
        cache: see `classifier_directory`.
        device: where to compute (random features stay on the CPU: there, all machines agree).
        console: where to show that a classifier is being trained; None shows nothing.

    Raises:
        ValueError: the choice does not suit the data, or the weights are missing.
    """
    if choice == "auto":
        choice = "classifier" if dataset.spec.num_classes >= 2 else "random"
    if choice != "inception" and inception_weights is not None:
        raise ValueError(f"Inception weights are given, but the extractor is {choice!r}: choose 'inception'")
    if choice == "random":
        return RandomExtractor(dataset.spec)
    if choice == "inception":
        if inception_weights is None:
            raise ValueError(
                "the extractor 'inception' needs a weights file: convert the published one with "
                "benchmarks/convert_inception.py (docs/evaluation.md) and name it"
            )
        return InceptionExtractor(inception_weights, device)
    return ClassifierExtractor(classifier_for(dataset, cache=cache, device=device, console=console))


def classifier_for(
    dataset: Dataset,
    *,
    seed: int = 0,
    cache: Path | None = None,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Bundle:
    """The classifier of a labelled dataset, trained by the ordinary loop unless the cache has it.

    Its training split teaches it; provenance["test_accuracy"] says how well. Another seed makes another network.
    Several processes may ask at once: they all get the one that was stored first.

    Raises:
        ValueError: the data has fewer than two classes.
        BundleError: the cached one was damaged.
    """
    directory = classifier_directory(dataset, cache, seed=seed)
    if not directory.exists():
        _train(dataset, directory, seed, device, console)
    try:
        return load_bundle(directory, device=device)
    except BundleError as error:
        raise BundleError(f"the cached classifier can't be used, remove {directory}: {error}") from error


def classifier_directory(dataset: Dataset, cache: Path | None = None, *, seed: int = 0) -> Path:
    """Where the classifier of a dataset is kept.

    Args:
        dataset: its digest is part of the name, as is the classifier's configuration.
        cache: by default $GEN_DIST_CACHE/extractors, or ~/.cache/gen_dist/extractors.
        seed: of its training.
    """
    config = hashlib.sha256(_classifier_config(dataset.spec, seed).to_json().encode()).hexdigest()
    root = Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/gen_dist").expanduser() / "extractors"
    return (cache or root) / f"classifier-{dataset.digest[:16]}-{config[:8]}"


def _classifier_config(spec: DataSpec, seed: int) -> RunConfig:
    config = preset("convnet-8" if max(spec.height, spec.width) <= SMALL_IMAGE_PIXELS else "convnet-28")
    training = dataclasses.replace(config.training, checkpoint_every_seconds=None)
    return dataclasses.replace(config, seed=config.seed + seed, training=training)


def _train(dataset: Dataset, directory: Path, seed: int, device: torch.device | None, console: Console | None) -> None:
    config = _classifier_config(dataset.spec, seed)
    stream = dataset.stream("train", seed=config.seed)
    shown = Console(quiet=True) if console is None else console
    try:
        title = f"{'second ' if seed == JUDGE_SEED else ''}classifier for the evaluation"
        with RunProgress(title, config.training.images, shown) as progress:
            learner = train_to_end(
                config.model, config.training, config.seed, stream, device=device, report=progress.report
            )
    finally:
        stream.close()
    accuracy, deviation = _measure(learner, dataset)
    provenance = {
        "purpose": "judge of classes" if seed == JUDGE_SEED else "features for evaluation",
        "dataset_digest": dataset.digest,
        "test_accuracy": accuracy,
        FEATURE_SCALE: 1.0 / deviation,
        "run": json.loads(config.to_json()),
    }
    # Of several processes that trained at once, one stored its classifier; the others use that one.
    with contextlib.suppress(FileExistsError):
        save_bundle(learner, config.model, dataset.spec, provenance, directory)


@torch.no_grad()
def _measure(learner: Learner, dataset: Dataset) -> tuple[float, float]:
    """Share of test images that are classified correctly, and root mean variance of the training images' features."""
    assert isinstance(learner, Classifies), "the classifier presets build classifiers"
    device = device_of(learner)
    test, train = (dataset.read(split, limit=MAX_MEASURED) for split in ("test", "train"))
    logits = torch.cat([learner.logits(images.to(device)).cpu() for images in torch.split(test.images, CHUNK)])
    features = torch.cat([learner.features(images.to(device)).cpu() for images in torch.split(train.images, CHUNK)])
    assert test.labels is not None, "a dataset with classes has labels"
    accuracy = (logits.argmax(dim=1) == test.labels).double().mean()
    return float(accuracy), float(features.double().var(dim=0).mean().sqrt())
