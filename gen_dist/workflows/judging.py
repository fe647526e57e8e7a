"""From what a run says about its evaluation to the evaluator that does it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from gen_dist.bundle.bundle import Bundle, copy_bundle, load_bundle
from gen_dist.data.dataset import Dataset
from gen_dist.data.storage import Storage
from gen_dist.evaluation.class_accuracy import draws_for_labels
from gen_dist.evaluation.evaluator import Evaluator, can_be_judged
from gen_dist.evaluation.extractor import ClassifierExtractor, Extractor
from gen_dist.learner import Learner, ModelConfig
from gen_dist.types import DataSpec
from gen_dist.workflows.extractor import JUDGE_SEED, classifier_directory, classifier_for, extractor_for
from gen_dist.workflows.job import Judging


def make_judge(
    judging: Judging,
    dataset: Dataset,
    device: torch.device | None = None,
    console: Console | None = None,
    *,
    learner: Learner | None = None,
) -> Evaluator:
    """The evaluator; classifiers that it may need are trained now unless the cache has them.

    Args:
        judging: what was agreed.
        dataset: the data.
        device: where networks compute.
        console: where it is shown that a classifier is being trained; None shows nothing.
        learner: what will be judged: one that draws for labels is judged by that too. Without it, that is left out
            unless `judging` names a judge of classes.
    """
    if judging.classifier is not None:
        extractor: Extractor = ClassifierExtractor(load_bundle(judging.classifier, device=device))
    else:
        weights = None if judging.inception_weights is None else Path(judging.inception_weights)
        extractor = extractor_for(dataset, judging.extractor, inception_weights=weights, device=device, console=console)
    if judging.class_judge is not None:
        class_judge: Bundle | None = load_bundle(judging.class_judge, device=device)
    else:
        class_judge = None if learner is None else class_judge_for(learner, dataset, device=device, console=console)
    return Evaluator(
        dataset,
        extractor,
        split=judging.split,
        num_samples=judging.num_samples,
        num_scored=judging.num_scored,
        class_judge=class_judge,
    )


def judge_of_a_run(
    judging: Judging | None, learner: Learner, dataset: Dataset, device: torch.device, console: Console | None
) -> Evaluator | None:
    """The judge of a run, or None where none was asked for, or the learner does nothing that can be judged."""
    if judging is None or not can_be_judged(learner):
        return None
    return make_judge(judging, dataset, device, console, learner=learner)


def class_judge_for(
    learner: Learner, dataset: Dataset, *, device: torch.device | None = None, console: Console | None = None
) -> Bundle | None:
    """What judges whether images show the class they were drawn for; None for a learner that does not draw for labels.

    It is trained like the classifier that extracts features, with another seed, and kept beside it.
    """
    if not draws_for_labels(learner) or dataset.spec.num_classes < 2:
        return None
    return classifier_for(dataset, seed=JUDGE_SEED, device=device, console=console)


def outline(model: ModelConfig, spec: DataSpec) -> Learner:
    """The learner of a configuration, built without memory for weights: it can be asked what it can do."""
    with torch.device("meta"):
        return model.build(spec)


def with_shared_classifier(
    judging: Judging,
    dataset: Dataset,
    folder: Storage,
    console: Console | None = None,
    *,
    learners: Sequence[Learner] = (),
) -> Judging:
    """The same with one classifier for everybody, kept in a study's folder: every machine's own would differ.

    Args:
        judging: what was agreed so far.
        dataset: the data.
        folder: of the study.
        console: where it is shown that a classifier is being trained; None shows nothing.
        learners: what will be judged, weights or none; if any draws for labels, the judge of classes is shared too.
    """
    device = torch.device("cuda") if torch.cuda.is_available() else None
    if judging.extractor == "classifier" or (judging.extractor == "auto" and dataset.spec.num_classes >= 2):
        classifier_for(dataset, device=device, console=console)
        shared = folder.child("extractor").uri
        copy_bundle(classifier_directory(dataset), shared)
        judging = replace(judging, classifier=shared)
    judges = [class_judge_for(learner, dataset, device=device, console=console) for learner in learners]
    if any(judge is not None for judge in judges):
        shared = folder.child("class-judge").uri
        copy_bundle(classifier_directory(dataset, seed=JUDGE_SEED), shared)
        judging = replace(judging, class_judge=shared)
    return judging
