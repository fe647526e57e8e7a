"""The truncation curve, by a model whose quality at each threshold is known."""

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.sources.arrays import ArraysSource
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.random_features import RandomExtractor
from gen_dist.learner import Learner, Phase, Player
from gen_dist.types import DataSpec
from gen_dist.workflows.truncation import truncation_curve

SPEC = DataSpec(channels=1, height=8, width=8)


class Shades(Learner):
    """Grey noise around a latent shade, of which truncation cuts the tails."""

    threshold = math.inf

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()

    def truncated(self, threshold: float) -> "Shades":
        view = copy.copy(self)
        view.threshold = threshold
        return view

    def sample(self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        shade = torch.randn(num, 1, 1, 1).clamp(-self.threshold, self.threshold)
        return (128.0 + 40.0 * shade + 8.0 * torch.randn(num, 1, 8, 8)).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    """Of images that the model draws without truncation."""
    folder = tmp_path_factory.mktemp("shades")
    torch.manual_seed(1)
    np.save(folder / "shades.npy", Shades().sample(2000)[:, 0].numpy())
    dataset = import_source(ArraysSource(folder / "shades.npy"), folder / "dataset", ImportOptions()).dataset
    return Evaluator(dataset, RandomExtractor(SPEC), num_scored=0)


def test_small_thresholds_keep_precision_and_lose_recall(evaluator: Evaluator) -> None:
    thresholds = [math.inf, 0.5, 0.05]
    learner = Shades()
    points = truncation_curve(learner, evaluator, thresholds, num_samples=300, seed=0)
    assert [point.threshold for point in points] == thresholds
    whole, half, narrow = points
    # Nearly all within the middle of what is real, of which the narrowest shows a twentieth.
    assert whole.recall > 0.7 > half.recall > narrow.recall
    assert narrow.precision > 0.7
    assert whole.frechet_distance < half.frechet_distance < narrow.frechet_distance
    metrics = evaluator.evaluate(learner, ema=False, num_samples=300, seed=0).metrics
    assert (whole.precision, whole.recall) == (metrics["precision"], metrics["recall"])
    assert whole.frechet_distance == metrics["frechet_distance"]


def test_a_model_that_cannot_truncate_is_told_so(evaluator: Evaluator) -> None:
    class Plain(Shades):
        truncated = None  # type: ignore[assignment]

    with pytest.raises(ValueError, match="Plain can't truncate its latents"):
        truncation_curve(Plain(), evaluator, [1.0], num_samples=10, seed=0)
