"""Fidelity against variety: what a model gains in the one and loses in the other as its randomness is scaled down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.learner import Learner
from gen_dist.sampling.draw import draw_samples


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """Figures at one setting (docs/evaluation.md explains them).

    Attributes:
        setting: what was changed; a temperature of 1 is the model's own distribution.
        precision: share of samples that could be real images, in [0, 1]: fidelity.
        recall: share of real images that could be samples, in [0, 1]: variety.
        frechet_distance: both in one figure, 0 or more, lower is better.
    """

    setting: float
    precision: float
    recall: float
    frechet_distance: float


def temperature_curve(
    learner: Learner,
    evaluator: Evaluator,
    temperatures: Sequence[float],
    *,
    num_samples: int,
    seed: int,
    report: Callable[[float], None] = lambda _share: None,
) -> list[CurvePoint]:
    """Figures of a learner at each temperature, all from the same noise.

    Args:
        learner: must be able to sample.
        evaluator: compares images with real ones.
        temperatures: scales of the randomness, each above 0.
        num_samples: images at each.
        seed: of the noise.
        report: told which share is done.

    Raises:
        ValueError: there are no temperatures, one is not positive, or the learner can't sample.
    """
    if not temperatures:
        raise ValueError("there are no temperatures: give at least 1")
    points = []
    for index, temperature in enumerate(temperatures):
        figures = evaluator.figures(draw_samples(learner, num_samples, seed=seed, temperature=temperature))
        points.append(
            CurvePoint(
                setting=temperature,
                precision=figures["precision"],
                recall=figures["recall"],
                frechet_distance=figures["frechet_distance"],
            )
        )
        report((index + 1) / len(temperatures))
    return points
