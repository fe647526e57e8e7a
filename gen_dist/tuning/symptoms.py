"""What a trace says about the state of a GAN, before anybody judges it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from gen_dist.tuning.score import swing
from gen_dist.tuning.trace import Trace, last_part, mean, recent, series

RECENT = 0.25
"""The last quarter of the reports is "now": long enough to average noise, short enough to see the end."""

CERTAIN = 0.95
"""Accuracy on both real and generated images above which the critic wins. At equilibrium it is 1/2; Arjovsky and
Bottou 2017 (arXiv:1701.04862) show that a critic near accuracy 1 gives a useless gradient."""

STILL_IMPROVING = 0.95
"""The best distance of the last quarter over the best before it, below which a run still learns; and the diversity of
the quarter before the last over that of the last, below which it still gains variety."""

MOVED = 0.2
"""Relative change since the first report, below which nothing has moved."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Symptoms:
    """What the rules look at. None stands for what the trace does not tell.

    Attributes:
        objective: of the GAN.
        real_accuracy: share of real images on the right side, recently.
        fake_accuracy: share of generated images on the right side, recently.
        generator_gradient: its norm, recently.
        peak_generator_gradient: the largest norm of any report.
        slope: factor through which the objective passes the critic's gradient on to the generator, recently.
        penalty: mean of (slope - 1)^2 of a penalised critic, recently.
        gap_growth: gap of the scores now over the gap in the first quarter.
        diversity: of generated images relative to real ones, recently.
        peak_diversity: the largest of any report.
        modes: share of classes that the last evaluation found.
        distance: of the last evaluation.
        best_distance: of all evaluations.
        gaussian_distance: that of a Gaussian fitted to the pixels.
        judged_once: one evaluation alone, which tells nothing of progress.
        improving: the last quarter of the evaluations found a better distance than all before.
        generator_change: of diversity or distance since the first report, relative, the larger of the two.
        change: the same with the losses: of anything.
        widening: generated images still gain variety.
        swing: how far the distance swings around its own line in the later half, relative to its mean.
    """

    objective: str | None
    real_accuracy: float | None
    fake_accuracy: float | None
    generator_gradient: float | None
    peak_generator_gradient: float | None
    slope: float | None
    penalty: float | None
    gap_growth: float | None
    diversity: float | None
    peak_diversity: float | None
    modes: float | None
    distance: float | None
    best_distance: float | None
    gaussian_distance: float | None
    judged_once: bool
    improving: bool
    generator_change: float
    change: float
    widening: bool
    swing: float

    @property
    def beats_gaussian(self) -> bool | None:
        """Whether the last distance is below the Gaussian's; None when one of them is unknown."""
        if self.distance is None or self.gaussian_distance is None:
            return None
        return self.distance < self.gaussian_distance

    @property
    def critic_wins(self) -> bool:
        """Whether the critic is right about nearly all images of both kinds."""
        return min(self.real_accuracy or 0.0, self.fake_accuracy or 0.0) >= CERTAIN

    @property
    def moved(self) -> bool:
        """Whether the generator has changed."""
        return self.generator_change > MOVED

    @staticmethod
    def of(trace: Trace, evaluations: Trace, *, objective: str | None, anchors: Mapping[str, float]) -> "Symptoms":
        """Read the symptoms off a trace."""
        ratios = _diversity_ratios(trace)
        gradients = series(trace, "generator/gradient_norm")
        distances = series(evaluations, "frechet_distance")
        modes = series(evaluations, "modes_covered")
        generator_change = max(_change(ratios), _change(distances))
        return Symptoms(
            objective=objective,
            real_accuracy=recent(trace, "critic/real_accuracy", RECENT),
            fake_accuracy=recent(trace, "critic/fake_accuracy", RECENT),
            generator_gradient=recent(trace, "generator/gradient_norm", RECENT),
            peak_generator_gradient=max(gradients, default=None),
            slope=_slope(trace, objective),
            penalty=recent(trace, "critic/penalty", RECENT),
            gap_growth=_gap_growth(trace),
            diversity=mean(last_part(ratios, RECENT)) if ratios else None,
            peak_diversity=max(ratios, default=None),
            modes=modes[-1] if modes else None,
            distance=distances[-1] if distances else None,
            best_distance=min(distances, default=None),
            gaussian_distance=anchors.get("frechet_distance_gaussian"),
            judged_once=len(distances) == 1,
            improving=_improving(distances),
            generator_change=generator_change,
            change=max(generator_change, *(_change(series(trace, f"{p}/loss")) for p in ("critic", "generator"))),
            widening=_widening(ratios),
            swing=_relative_swing(last_part(distances, 0.5)),
        )


def _slope(trace: Trace, objective: str | None) -> float | None:
    """The derivative of the generator's loss by the critic's score, where it can vanish: D(G(z)) of the minimax loss.

    The loss is the mean of log(1 - D), so 1 - exp(loss) is D for samples that all have the same score.
    """
    loss = recent(trace, "generator/loss", RECENT)
    return -math.expm1(loss) if objective == "minimax" and loss is not None else None


def _gap_growth(trace: Trace) -> float | None:
    pairs = [
        row["critic/real_score"] - row["critic/fake_score"]
        for row in trace
        if "critic/real_score" in row and "critic/fake_score" in row
    ]
    if len(pairs) < 4:
        return None
    early, late = mean(pairs[: max(1, len(pairs) // 4)]), mean(last_part(pairs, RECENT))
    return late / early if early > 0 else None


def _diversity_ratios(trace: Trace) -> tuple[float, ...]:
    return tuple(
        row["critic/fake_diversity"] / row["critic/real_diversity"]
        for row in trace
        if row.get("critic/real_diversity") and "critic/fake_diversity" in row
    )


def _improving(distances: tuple[float, ...]) -> bool:
    tail = last_part(distances, RECENT)
    before = distances[: len(distances) - len(tail)]
    return bool(before) and min(tail) < STILL_IMPROVING * min(before)


def _change(values: tuple[float, ...]) -> float:
    """How far the last quarter is from the first value, relative to it; 0 where nothing can be compared."""
    if len(values) < 2 or not values[0]:
        return 0.0
    return abs(mean(last_part(values, RECENT)) - values[0]) / abs(values[0])


def _widening(ratios: tuple[float, ...]) -> bool:
    late = last_part(ratios, RECENT)
    before = last_part(ratios[: len(ratios) - len(late)], RECENT / (1.0 - RECENT))
    return bool(before) and mean(late) * STILL_IMPROVING > mean(before)


def _relative_swing(distances: tuple[float, ...]) -> float:
    middle = mean(distances)
    return swing(distances) / middle if middle else 0.0
