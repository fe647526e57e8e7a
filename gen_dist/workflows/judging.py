"""From what a run says about its evaluation to the evaluator that does it."""

from pathlib import Path

import torch

from gen_dist.data.dataset import Dataset
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.workflows.extractor import extractor_for
from gen_dist.workflows.job import Judging


def make_judge(judging: Judging, dataset: Dataset, device: torch.device | None = None) -> Evaluator:
    """The evaluator; the classifier that it may need is trained now unless the cache has it."""
    weights = None if judging.inception_weights is None else Path(judging.inception_weights)
    extractor = extractor_for(dataset, judging.extractor, inception_weights=weights, device=device)
    return Evaluator(
        dataset, extractor, split=judging.split, num_samples=judging.num_samples, num_scored=judging.num_scored
    )
