"""From what a run says about its evaluation to the evaluator that does it."""

from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from gen_dist.bundle.bundle import copy_bundle, load_bundle
from gen_dist.data.dataset import Dataset
from gen_dist.data.storage import Storage
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.extractor import ClassifierExtractor, Extractor
from gen_dist.workflows.extractor import classifier_directory, classifier_for, extractor_for
from gen_dist.workflows.job import Judging


def make_judge(
    judging: Judging, dataset: Dataset, device: torch.device | None = None, console: Console | None = None
) -> Evaluator:
    """The evaluator; the classifier that it may need is trained now unless the cache has it."""
    if judging.classifier is not None:
        extractor: Extractor = ClassifierExtractor(load_bundle(judging.classifier, device=device))
    else:
        weights = None if judging.inception_weights is None else Path(judging.inception_weights)
        extractor = extractor_for(dataset, judging.extractor, inception_weights=weights, device=device, console=console)
    return Evaluator(
        dataset, extractor, split=judging.split, num_samples=judging.num_samples, num_scored=judging.num_scored
    )


def with_shared_classifier(
    judging: Judging, dataset: Dataset, folder: Storage, console: Console | None = None
) -> Judging:
    """The same with one classifier for everybody, kept in a study's folder: every machine's own would differ."""
    labelled = judging.extractor == "classifier" or (judging.extractor == "auto" and dataset.spec.num_classes >= 2)
    if not labelled:
        return judging
    gpu = torch.device("cuda") if torch.cuda.is_available() else None
    classifier_for(dataset, device=gpu, console=console)
    shared = folder.child("extractor").uri
    copy_bundle(classifier_directory(dataset), shared)
    return replace(judging, classifier=shared)
