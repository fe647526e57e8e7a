"""How a trial ended: not just a number."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

OutcomeKind = Literal["healthy", "diverged", "collapsed", "critic overpowering", "generator starved", "not converged"]

OUTCOME_KINDS: tuple[OutcomeKind, ...] = (
    "healthy",
    "not converged",
    "collapsed",
    "critic overpowering",
    "generator starved",
    "diverged",
)
"""From best to worst, the order in which people read them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One piece of evidence: a measured number, and the threshold that it was compared with."""

    name: str
    value: float
    threshold: float

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3g} (threshold {self.threshold:.3g})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Where the numbers stopped being finite.

    Attributes:
        phase: of the round.
        player: who should have moved.
        round: number of the round.
        repeat: of the phase inside the round.
        tensor: the first tensor that was not finite.
    """

    phase: str
    player: str
    round: int
    repeat: int
    tensor: str

    @staticmethod
    def from_facts(facts: Mapping[str, str | int]) -> "Divergence":
        """From `Diverged.facts()` of the training loop."""
        return Divergence(
            phase=str(facts["phase"]),
            player=str(facts["player"]),
            round=int(facts["round"]),
            repeat=int(facts["repeat"]),
            tensor=str(facts["tensor"]),
        )

    def __str__(self) -> str:
        return f"{self.player} in phase {self.phase}, round {self.round}, repeat {self.repeat}: {self.tensor}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A diagnosis.

    Attributes:
        kind: one of six.
        evidence: the facts that led to it.
        advice: one sentence on what to change, or what to do next.
        divergence: where, when the kind is "diverged" and the loop caught it.
    """

    kind: OutcomeKind
    evidence: tuple[Fact, ...]
    advice: str
    divergence: Divergence | None = None
