"""Fidelity against variety: what a model gains in the one and loses in the other as its randomness is held down.

Every family that samples has a temperature, which scales its randomness; some can cut the tails of their latents off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import UInt8
from torch import Tensor

from gen_dist.capabilities import Truncates
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.learner import Learner
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.latents import unable
from gen_dist.workflows.truncation import truncation_curve

Setting = Literal["temperature", "threshold"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """Figures at one setting (docs/evaluation.md explains them).

    Attributes:
        setting: a temperature, 1 for the model's own distribution; or a threshold, infinity for that.
        precision: share of samples that could be real images, in [0, 1]: fidelity.
        recall: share of real images that could be samples, in [0, 1]: variety.
        frechet_distance: both in one figure, 0 or more, lower is better.
    """

    setting: float
    precision: float
    recall: float
    frechet_distance: float


def curve(
    learner: Learner,
    evaluator: Evaluator,
    setting: Setting,
    values: Sequence[float],
    *,
    num_samples: int,
    seed: int,
    report: Callable[[float], None] = lambda _share: None,
) -> list[CurvePoint]:
    """Figures of a learner at each value, all from the same seed.

    Args:
        learner: must be able to sample, and for thresholds to truncate.
        evaluator: compares images with real ones.
        setting: what is changed.
        values: of it, each above 0.
        num_samples: images at each.
        seed: of the noise.
        report: told which share is done.

    Raises:
        ValueError: there are no values, one is not positive, or the learner can't do what it takes.
    """
    if not values:
        raise ValueError(f"there is no {setting}: give at least 1")
    points = []
    for index, value in enumerate(values):
        points.append(_point(learner, evaluator, setting, value, num_samples, seed))
        report((index + 1) / len(values))
    return points


def samples_at(learner: Learner, setting: Setting, value: float, num: int, *, seed: int) -> UInt8[Tensor, "n c h w"]:
    """The first samples at one value.

    Raises:
        ValueError: the value is not positive, or the learner can't do what it takes.
    """
    if setting == "temperature":
        return draw_samples(learner, num, seed=seed, temperature=value)
    if not isinstance(learner, Truncates):
        raise ValueError(unable(learner, "truncate its latents"))
    return draw_samples(learner.truncated(value), num, seed=seed)


def _point(
    learner: Learner, evaluator: Evaluator, setting: Setting, value: float, num_samples: int, seed: int
) -> CurvePoint:
    if setting == "threshold":
        (point,) = truncation_curve(learner, evaluator, [value], num_samples=num_samples, seed=seed)
        return CurvePoint(
            setting=value,
            precision=point.precision,
            recall=point.recall,
            frechet_distance=point.frechet_distance,
        )
    figures = evaluator.figures(samples_at(learner, setting, value, num_samples, seed=seed))
    return CurvePoint(
        setting=value,
        precision=figures["precision"],
        recall=figures["recall"],
        frechet_distance=figures["frechet_distance"],
    )
