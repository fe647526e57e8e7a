"""What came of each preset over its seeds: means, how far the seeds lie apart, and how many runs reached their end."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.workflows.comparison import Comparison, Entry


@final
@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several runs.

    Attributes:
        mean: over them.
        deviation: sample standard deviation (divisor n - 1); None of a single run.
    """

    mean: float
    deviation: float | None

    @staticmethod
    def of(values: Sequence[float]) -> "Spread | None":
        """Of these values; None without any."""
        if not values:
            return None
        return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def text(self, how: str) -> str:
        """Both numbers in this format."""
        return f"{self.mean:{how}}" if self.deviation is None else f"{self.mean:{how}} ± {self.deviation:{how}}"


@final
@dataclass(frozen=True, slots=True)
class Standing:
    """One preset in the table. Runs that failed or diverged count in `share` and in no mean.

    Attributes:
        preset: its name.
        entries: of its runs, in the order of their seeds.
        num_seeds: runs that it was to have.
    """

    preset: str
    entries: tuple[Entry, ...]
    num_seeds: int = 1

    @property
    def finished(self) -> list[Entry]:
        """The runs that reached their end."""
        return [entry for entry in self.entries if entry.state == "finished"]

    @property
    def share(self) -> str:
        """How many runs finished, of how many."""
        return f"{len(self.finished)}/{self.num_seeds}"

    @property
    def likelihood_kind(self) -> str:
        """What its likelihood is; empty without one."""
        return next((record.likelihood_kind for record in self._records() if record.likelihood_kind is not None), "")

    def figure(self, name: str) -> Spread | None:
        """A metric of the evaluation over the seeds."""
        return Spread.of([record.metrics[name] for record in self._records() if name in record.metrics])

    def mean(self, number: Callable[[Entry], float | None]) -> float | None:
        """Mean of another number of the runs, over those that have it."""
        spread = Spread.of([float(value) for value in map(number, self.finished) if value is not None])
        return None if spread is None else spread.mean

    def rank(self) -> tuple[int, float]:
        """8-bit likelihoods first, then binary ones, then models without, then failures; the best first."""
        if not self.finished:
            return 3, 0.0
        for place, name in enumerate(("bits_per_dimension", "nats", "frechet_distance")):
            figure = self.figure(name)
            if figure is not None:
                return place, figure.mean
        return 2, float("inf")

    def _records(self) -> list[EvaluationRecord]:
        return [entry.record for entry in self.finished if entry.record is not None]


def standings(comparison: Comparison, entries: Sequence[Entry]) -> list[Standing]:
    """The presets of these entries in the order of the table."""
    order = {entrant: place for place, entrant in enumerate(comparison.entrants)}
    by_preset: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: order[entry.entrant]):
        by_preset.setdefault(entry.preset, []).append(entry)
    found = [Standing(preset, tuple(runs), comparison.num_seeds) for preset, runs in by_preset.items()]
    return sorted(found, key=Standing.rank)


def training_rate(entry: Entry) -> float | None:
    """Training images per second; None where nothing was trained."""
    return _rate(entry.images, entry.training_seconds)


def sampling_rate(entry: Entry) -> float | None:
    """Images drawn per second; None where none were."""
    return _rate(entry.sampled, entry.sampling_seconds)


def _rate(count: int, seconds: float | None) -> float | None:
    return count / seconds if count and seconds else None
