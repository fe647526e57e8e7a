"""Fidelity against variety: what a model gains in the one and loses in the other as its randomness is scaled down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.learner import Learner
from gen_dist.sampling.draw import draw_samples


@dataclass(frozen=True, kw_only=True, slots=True)
class TruncationPoint:
    """Figures at one threshold.

    Attributes:
        threshold: scale of the model's randomness; 1 is the model's own distribution.
        precision: share of samples that lie on the manifold of the data: fidelity.
        recall: share of the data that lies on the manifold of the samples: variety.
        frechet_distance: both in one figure, lower is better.
        diversity: deviation of the samples' pixels over that of the data's.
    """

    threshold: float
    precision: float
    recall: float
    frechet_distance: float
    diversity: float


def truncation_curve(
    learner: Learner,
    evaluator: Evaluator,
    thresholds: Sequence[float],
    *,
    num_samples: int,
    seed: int,
    report: Callable[[float], None] = lambda _share: None,
) -> list[TruncationPoint]:
    """Figures of a learner at each threshold, all from the same noise.

    Args:
        learner: must be able to sample.
        evaluator: compares images with real ones.
        thresholds: temperatures, each above 0.
        num_samples: images at each.
        seed: of the noise.
        report: told which share is done.

    Raises:
        ValueError: there are no thresholds, one is not positive, or the learner can't sample.
    """
    if not thresholds:
        raise ValueError("there are no thresholds: give at least 1")
    points = []
    for index, threshold in enumerate(thresholds):
        images = draw_samples(learner, num_samples, seed=seed, temperature=threshold)
        figures = evaluator.figures(images)
        points.append(
            TruncationPoint(
                threshold=threshold,
                **{name: figures[name] for name in ("precision", "recall", "frechet_distance", "diversity")},
            )
        )
        report((index + 1) / len(thresholds))
    return points
