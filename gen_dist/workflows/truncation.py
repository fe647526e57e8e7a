"""What a truncated model gains in quality, and what it loses in variety."""

from collections.abc import Sequence
from dataclasses import dataclass

from gen_dist.capabilities import Truncates, capabilities
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.learner import Learner


@dataclass(frozen=True, kw_only=True, slots=True)
class TruncationPoint:
    """Figures of a model at one threshold (docs/evaluation.md explains them).

    Attributes:
        threshold: that latents are within; infinity for the model as it is.
        precision: share of samples that could be real images, in [0, 1].
        recall: share of real images that could be samples, in [0, 1].
        frechet_distance: between the features of samples and of real images, 0 or more.
    """

    threshold: float
    precision: float
    recall: float
    frechet_distance: float


def truncation_curve(
    learner: Learner, evaluator: Evaluator, thresholds: Sequence[float], *, num_samples: int, seed: int
) -> list[TruncationPoint]:
    """Figures of a model at each threshold, from the same seed (Brock et al. 2018, arXiv:1809.11096).

    Args:
        learner: the copy to judge, which must be able to truncate; `Learner.finalise` has been called on it.
        evaluator: of the data that it was trained on.
        thresholds: each positive, in the order of the points that come back; `math.inf` is no truncation.
        num_samples: images drawn at each threshold; curves at different numbers do not compare.
        seed: of the noise.

    Raises:
        ValueError: the learner can't truncate, or a threshold is not positive.
    """
    if not isinstance(learner, Truncates):
        abilities = ", ".join(capabilities(learner)) or "nothing but train"
        raise ValueError(f"{type(learner).__name__} can't truncate its latents; what it can do: {abilities}")
    points = []
    for truncated in [learner.truncated(threshold) for threshold in thresholds]:
        # Only records say whether weights are averaged; of the record the figures alone are kept.
        metrics = evaluator.evaluate(truncated, ema=True, num_samples=num_samples, seed=seed).metrics
        points.append((metrics["precision"], metrics["recall"], metrics["frechet_distance"]))
    return [
        TruncationPoint(threshold=threshold, precision=precision, recall=recall, frechet_distance=distance)
        for threshold, (precision, recall, distance) in zip(thresholds, points, strict=True)
    ]
