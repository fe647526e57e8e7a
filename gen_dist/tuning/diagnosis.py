"""What became of a GAN, read from its trace: rules, their thresholds, and in which order they speak.

The first rule that applies decides, from the most certain to the most general:

1. diverged: a value was not finite, or gradients grew beyond any use.
2. collapsed: the generator had variety and lost it; or it never had any and draws one image after another.
3. generator starved: it learns nothing, since next to no gradient reaches it while the critic is certain.
4. critic overpowering: the critic separates real from generated (or breaks its Lipschitz constraint), and the distance
   is still worse than that of a Gaussian.
5. collapsed: the generator moved, then stopped gaining quality and variety, and leaves out much of the data.
6. not converged: the distance is worse than that of a Gaussian fitted to the pixels, or not stable.
7. healthy.

A loss of variety is asked before the critic's strength, because a critic that faces one image always wins. A critic
that wins against a generator which never had variety is the cause, though, so the other kind of collapse comes later.

Scores mean different things: a logit or a hinge score is right or wrong around 0, a least-squares score around 1/2,
and a Wasserstein score has no zero and no bound; a Wasserstein critic is supposed to separate as well as it can.
Rules about certainty therefore ask for the objective. docs/diagnosis.md shows each state on real runs.
"""

import math
from collections.abc import Mapping

from gen_dist.tuning import advice
from gen_dist.tuning.outcome import Divergence, Fact, Outcome
from gen_dist.tuning.symptoms import CERTAIN, MOVED, Symptoms
from gen_dist.tuning.trace import Trace, first_non_finite, series

EXPLODED_GRADIENT = 1e6
"""Gradient norm that no useful step has: runs on digits stay below 1e5, also with an unbounded critic; at learning
rates a thousand times too large they pass 1e13 (measured, docs/diagnosis.md)."""

STARVED_SLOPE = 0.01
"""Factor D(G(z)) through which the minimax loss passes its gradient on (Goodfellow et al. 2014, section 3). Below one
hundredth a step of the generator is noise."""

STARVED_SHARE = 1e-3
"""Gradient norm now, relative to the largest of the run, below which it has vanished."""

STARVED_GRADIENT = 1e-6
"""Gradient norm at which Adam stops: spread over the 1e5 or more weights of a generator it leaves each weight less than
Adam's epsilon of 1e-8."""

BROKEN_PENALTY = 1.0
"""Mean of (slope - 1)^2 of a WGAN-GP critic above which slopes are off by as much as the target itself: the critic is
not 1-Lipschitz and its loss is no distance (Gulrajani et al. 2017, arXiv:1704.00028)."""

RUNAWAY_GAP = 2.0
"""Growth of a Wasserstein critic's gap between real and generated scores, from the first quarter of the run to the
last, that says that the generator loses ground. In a run that works the gap shrinks."""

LOST_DIVERSITY = 0.5
"""Deviation of pixels over samples, relative to the data's, below which much of the data must be missing. Healthy runs
end within 0.8 to 1.1."""

HAD_DIVERSITY = 0.25
"""A generator that never had a quarter of the data's variety has nothing to lose."""

LOST_OF_PEAK = 0.5
"""A fall below half of what the same run once had is a loss, not a slow start."""

RESTLESS = 0.1
"""Swing of the distance around its own line, relative to its mean, that a generator at rest does not make: without
variety it means that the one image it draws is another one each time."""

LOST_MODES = 0.7
"""Share of classes reached, below which several are missing."""

UNSTABLE = 2.0
"""Last distance over the best of the run, above which what was reached has been lost."""

WASSERSTEIN = frozenset({"wasserstein", "wasserstein-clip", "wasserstein-gp"})


def diagnose(
    trace: Trace,
    evaluations: Trace,
    *,
    objective: str | None = None,
    anchors: Mapping[str, float] | None = None,
    divergence: Divergence | None = None,
) -> Outcome:
    """What became of a run.

    Args:
        trace: its reports.
        evaluations: its evaluations, in order; may be empty, then only the trace speaks.
        objective: of the GAN. None for a family that does not say: rules that need it stay silent.
        anchors: "frechet_distance_gaussian" of the same protocol; without it no distance counts as good or bad.
        divergence: what the loop reported, when it stopped the run.
    """
    symptoms = Symptoms.of(trace, evaluations, objective=objective, anchors=anchors or {})
    return (
        _diverged(trace, divergence)
        or _lost_variety(symptoms)
        or _starved(symptoms)
        or _overpowering(symptoms)
        or _few_modes(symptoms)
        or _not_converged(symptoms)
        or Outcome(kind="healthy", evidence=_state_of_health(symptoms), advice=advice.healthy(symptoms.improving))
    )


def _diverged(trace: Trace, divergence: Divergence | None) -> Outcome | None:
    found = first_non_finite(trace)
    if divergence is None and found is not None:
        name, row = found
        player = name.partition("/")[0]
        divergence = Divergence(
            phase=player, player=player, round=int(row["round"]), repeat=0, tensor=f"reported {name}, {row[name]}"
        )
    if divergence is not None:
        norms = [norm for norm in series(trace, f"{divergence.player}/gradient_norm") if math.isfinite(norm)]
        name = f"last finite gradient norm of the {divergence.player}"
        facts = (Fact(name=name, value=norms[-1], threshold=EXPLODED_GRADIENT),) if norms else ()
        return Outcome(
            kind="diverged", evidence=facts, advice=advice.diverged(divergence.player), divergence=divergence
        )
    for player in ("critic", "generator"):
        largest = max(series(trace, f"{player}/gradient_norm"), default=0.0)
        if largest > EXPLODED_GRADIENT:
            fact = Fact(name=f"largest gradient norm of the {player}", value=largest, threshold=EXPLODED_GRADIENT)
            return Outcome(kind="diverged", evidence=(fact,), advice=advice.diverged(player))
    return None


def _lost_variety(s: Symptoms) -> Outcome | None:
    if s.diversity is None or s.peak_diversity is None or s.beats_gaussian:
        return None
    if _barren(s) and s.swing > RESTLESS and not s.improving:
        facts = (
            Fact(name="largest diversity of any report", value=s.peak_diversity, threshold=HAD_DIVERSITY),
            Fact(name="swing of the distance, relative to its mean", value=s.swing, threshold=RESTLESS),
            *_modes_fact(s),
        )
        return Outcome(kind="collapsed", evidence=facts, advice=advice.collapsed(s.objective))
    if not _barren(s) and s.diversity < min(LOST_DIVERSITY, LOST_OF_PEAK * s.peak_diversity):
        facts = (
            Fact(name="diversity relative to the data", value=s.diversity, threshold=LOST_DIVERSITY),
            Fact(
                name="diversity relative to its own peak",
                value=s.diversity / s.peak_diversity,
                threshold=LOST_OF_PEAK,
            ),
            *_modes_fact(s),
        )
        return Outcome(kind="collapsed", evidence=facts, advice=advice.collapsed(s.objective))
    return None


def _starved(s: Symptoms) -> Outcome | None:
    if s.beats_gaussian or s.improving or (s.objective not in WASSERSTEIN and not s.critic_wins):
        return None
    facts = _certainty_facts(s)
    if s.slope is not None and s.slope < STARVED_SLOPE:
        slope = Fact(name="D(G(z)), the factor on the generator's gradient", value=s.slope, threshold=STARVED_SLOPE)
        return Outcome(kind="generator starved", evidence=(slope, *facts), advice=advice.starved(s.objective))
    if s.generator_gradient is None or s.peak_generator_gradient is None:
        return None
    share = s.generator_gradient / s.peak_generator_gradient if s.peak_generator_gradient else 0.0
    if s.generator_gradient < STARVED_GRADIENT:
        norm = Fact(name="gradient norm of the generator", value=s.generator_gradient, threshold=STARVED_GRADIENT)
    elif share < STARVED_SHARE:
        norm = Fact(name="gradient norm of the generator over its peak", value=share, threshold=STARVED_SHARE)
    else:
        return None
    return Outcome(kind="generator starved", evidence=(norm, *facts), advice=advice.starved(s.objective))


def _overpowering(s: Symptoms) -> Outcome | None:
    if s.beats_gaussian or (s.beats_gaussian is None and s.improving):
        return None
    if s.penalty is not None and s.penalty > BROKEN_PENALTY and not s.improving:
        fact = Fact(name="penalty: mean of (slope - 1)^2", value=s.penalty, threshold=BROKEN_PENALTY)
        return Outcome(kind="critic overpowering", evidence=(fact,), advice=advice.overpowering(s.objective))
    if not s.critic_wins or s.objective is None:
        return None
    if s.objective not in WASSERSTEIN:
        return Outcome(
            kind="critic overpowering", evidence=_certainty_facts(s), advice=advice.overpowering(s.objective)
        )
    if s.gap_growth is not None and s.gap_growth > RUNAWAY_GAP and not s.improving:
        fact = Fact(name="growth of the gap between scores", value=s.gap_growth, threshold=RUNAWAY_GAP)
        evidence = (fact, *_certainty_facts(s))
        return Outcome(kind="critic overpowering", evidence=evidence, advice=advice.overpowering(s.objective))
    return None


def _few_modes(s: Symptoms) -> Outcome | None:
    if s.beats_gaussian or s.judged_once or s.improving or s.widening or not s.moved or _barren(s):
        return None
    lost: tuple[Fact, ...] = ()
    if s.diversity is not None and s.diversity < LOST_DIVERSITY:
        lost += (Fact(name="diversity relative to the data", value=s.diversity, threshold=LOST_DIVERSITY),)
    if s.modes is not None and s.modes < LOST_MODES:
        lost += _modes_fact(s)
    return Outcome(kind="collapsed", evidence=lost, advice=advice.collapsed(s.objective)) if lost else None


def _not_converged(s: Symptoms) -> Outcome | None:
    facts: tuple[Fact, ...] = ()
    if s.beats_gaussian is False:
        assert s.distance is not None
        assert s.gaussian_distance is not None
        facts += (Fact(name="distance, against a Gaussian's", value=s.distance, threshold=s.gaussian_distance),)
    swings = s.distance is not None and s.best_distance is not None and s.distance > UNSTABLE * s.best_distance
    if swings and s.distance is not None and s.best_distance:
        facts += (Fact(name="last distance over the best", value=s.distance / s.best_distance, threshold=UNSTABLE),)
    if not s.beats_gaussian and not _begun(s):
        if _barren(s) and s.peak_diversity is not None:
            facts += (Fact(name="largest diversity of any report", value=s.peak_diversity, threshold=HAD_DIVERSITY),)
        else:
            facts += (Fact(name="largest change since the first report", value=s.change, threshold=MOVED),)
    if not facts:
        return None
    weak = s.objective is not None and s.fake_accuracy is not None and s.fake_accuracy < 1.0 - CERTAIN
    sentence = advice.not_converged(improving=s.improving, started=_begun(s), swings=swings, weak_critic=weak)
    return Outcome(kind="not converged", evidence=facts, advice=sentence)


def _barren(s: Symptoms) -> bool:
    """Whether generated images never varied."""
    return s.peak_diversity is not None and s.peak_diversity < HAD_DIVERSITY


def _begun(s: Symptoms) -> bool:
    """Whether training has changed anything, and the generator draws more than one grey image."""
    return s.change > MOVED and not _barren(s)


def _state_of_health(s: Symptoms) -> tuple[Fact, ...]:
    facts: tuple[Fact, ...] = ()
    if s.distance is not None and s.gaussian_distance is not None:
        facts += (Fact(name="distance, against a Gaussian's", value=s.distance, threshold=s.gaussian_distance),)
    if s.diversity is not None:
        facts += (Fact(name="diversity relative to the data", value=s.diversity, threshold=LOST_DIVERSITY),)
    return facts + _modes_fact(s)


def _modes_fact(s: Symptoms) -> tuple[Fact, ...]:
    return () if s.modes is None else (Fact(name="share of classes reached", value=s.modes, threshold=LOST_MODES),)


def _certainty_facts(s: Symptoms) -> tuple[Fact, ...]:
    named = (("critic's accuracy on real images", s.real_accuracy), ("on generated images", s.fake_accuracy))
    return tuple(Fact(name=name, value=value, threshold=CERTAIN) for name, value in named if value is not None)
