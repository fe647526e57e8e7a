"""What a search may change: named dimensions, each with a domain, the configuration fields it sets, and a condition.

A space is plain frozen data, so that a study can write it down and continue with it whatever later versions of the
named spaces say. Nothing here knows who searches: `sample` draws at random, `mutate` perturbs a running trial for
population based training, and `gen_dist/tuning/suggest.py` asks an Optuna trial.
"""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cattrs.strategies import configure_tagged_union

from gen_dist.serialization import converter

Value = bool | int | float | str
Values = dict[str, Value]

RESAMPLE_PROBABILITY = 0.25
"""Share of mutations that draw afresh instead of perturbing (Jaderberg et al. 2017, arXiv:1711.09846, section 4)."""
PERTURBATION = 1.25
"""Factor up (or its inverse down) on a logarithmic dimension; on a linear one a step of a fifth of the range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform:
    """Real numbers in [low, high], all equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require_order(self.low, self.high)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogUniform:
    """Positive real numbers in [low, high] whose logarithm is uniform."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require_order(self.low, self.high)
        if self.low <= 0:
            raise ValueError(f"low is {self.low}: a logarithmic range must start above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class IntRange:
    """Whole numbers from low to high, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _require_order(self.low, self.high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One of a few options, all equally likely."""

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("options is empty: a choice needs at least one")
        if len(set(self.options)) != len(self.options):
            raise ValueError(f"options are {self.options}: each may stand there once")


Domain = Uniform | LogUniform | IntRange | Choice

configure_tagged_union(Domain, converter, tag_name="kind", tag_generator=lambda kind: kind.__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """True when the configuration field at `path` has one of the values `among`."""

    path: str
    among: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """An option that does not exist where the condition holds."""

    option: Value
    condition: Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """One thing to search.

    Attributes:
        name: how people and ledgers call it.
        domain: the values it may take.
        paths: the configuration fields it sets, all to the same value; "[0]" at the end names an element of a tuple.
        when: the dimension exists only where this holds; None for always.
        excluding: options of a `Choice` that do not exist everywhere.
        mutable: population based training may change it in a running trial.
    """

    name: str
    domain: Domain
    paths: tuple[str, ...]
    when: Condition | None = None
    excluding: tuple[Exclusion, ...] = ()
    mutable: bool = False

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError(f"dimension {self.name!r} has no paths: it would tune nothing")
        if self.excluding and not isinstance(self.domain, Choice):
            raise ValueError(f"dimension {self.name!r} excludes options, but its domain is no Choice")


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """Dimensions in the order in which they are drawn: a condition only looks at dimensions before its own.

    Attributes:
        name: of the named space it started from.
        summary: one line for people.
        dimensions: what is searched.
        num_trials: how many trials a study of this space runs when it is not told.
    """

    name: str
    summary: str
    dimensions: tuple[Dimension, ...]
    num_trials: int

    def __post_init__(self) -> None:
        if self.num_trials < 1:
            raise ValueError(f"num_trials is {self.num_trials}: a study needs at least 1")
        owners: dict[str, str] = {}
        for dimension in self.dimensions:
            for path in dimension.paths:
                if path in owners:
                    raise ValueError(f"dimensions {owners[path]!r} and {dimension.name!r} both set {path}: keep one")
                owners[path] = dimension.name
        self._require_conditions_before_use()

    def _require_conditions_before_use(self) -> None:
        searched = {path for dimension in self.dimensions for path in dimension.paths}
        drawn: set[str] = set()
        for dimension in self.dimensions:
            late = [c.path for c in _conditions(dimension) if c.path in searched and c.path not in drawn]
            if late:
                raise ValueError(f"dimension {dimension.name!r} depends on {late[0]}, which is drawn after it")
            drawn.update(dimension.paths)

    def dimension(self, name: str) -> Dimension:
        """The dimension of that name.

        Raises:
            ValueError: there is none; the message lists those that exist.
        """
        for dimension in self.dimensions:
            if dimension.name == name:
                return dimension
        names = ", ".join(dimension.name for dimension in self.dimensions)
        raise ValueError(f"the space {self.name!r} has no dimension {name!r}; it has {names}")


def sample(space: Space, rng: random.Random, *, fixed: Mapping[str, Value] | None = None) -> Values:
    """Draw every dimension that exists, uniformly on its own scale; those in `fixed` keep the value given there."""
    values: Values = {}
    for dimension in space.dimensions:
        domain = domain_given(space, dimension, values)
        if domain is not None:
            given = None if fixed is None else fixed.get(dimension.name)
            values[dimension.name] = _draw(domain, rng) if given is None else given
    return values


def mutate(space: Space, values: Mapping[str, Value], rng: random.Random) -> Values:
    """Explore around a good trial: perturb or redraw its mutable dimensions; everything else stays what it is."""
    mutated = dict(values)
    for dimension in space.dimensions:
        if not dimension.mutable or dimension.name not in values:
            continue
        domain = domain_given(space, dimension, mutated)
        assert domain is not None, f"{dimension.name} has a value but does not exist"
        if rng.random() < RESAMPLE_PROBABILITY:
            mutated[dimension.name] = _draw(domain, rng)
        else:
            mutated[dimension.name] = _perturb(domain, values[dimension.name], rng)
    return mutated


def domain_given(space: Space, dimension: Dimension, values: Mapping[str, Value]) -> Domain | None:
    """The dimension's domain beside the values drawn before it, or None where it does not exist.

    Raises:
        ValueError: a condition asks for a field that is not searched; `bind` the space to a configuration first.
    """
    if dimension.when is not None and not _holds(dimension.when, space, values):
        return None
    if not isinstance(dimension.domain, Choice):
        return dimension.domain
    excluded = {e.option for e in dimension.excluding if _holds(e.condition, space, values)}
    options = tuple(option for option in dimension.domain.options if option not in excluded)
    return Choice(options=options) if options else None


def _conditions(dimension: Dimension) -> Iterable[Condition]:
    if dimension.when is not None:
        yield dimension.when
    for exclusion in dimension.excluding:
        yield exclusion.condition


def _holds(condition: Condition, space: Space, values: Mapping[str, Value]) -> bool:
    for dimension in space.dimensions:
        if condition.path in dimension.paths:
            return values.get(dimension.name) in condition.among
    raise ValueError(f"a condition reads {condition.path}, which is not searched: bind the space to a configuration")


def _draw(domain: Domain, rng: random.Random) -> Value:
    match domain:
        case Uniform():
            return rng.uniform(domain.low, domain.high)
        case LogUniform():
            drawn = math.exp(rng.uniform(math.log(domain.low), math.log(domain.high)))
            return min(max(drawn, domain.low), domain.high)
        case IntRange():
            return rng.randint(domain.low, domain.high)
        case Choice():
            return rng.choice(domain.options)


def _perturb(domain: Domain, value: Value, rng: random.Random) -> Value:
    up = rng.random() < 0.5
    match domain:
        case Uniform():
            step = (domain.high - domain.low) * (PERTURBATION - 1.0) / PERTURBATION
            return min(max(float(value) + (step if up else -step), domain.low), domain.high)
        case LogUniform():
            return min(max(float(value) * (PERTURBATION if up else 1 / PERTURBATION), domain.low), domain.high)
        case IntRange():
            return min(max(int(value) + (1 if up else -1), domain.low), domain.high)
        case Choice():
            position = domain.options.index(value) + (1 if up else -1)
            return domain.options[min(max(position, 0), len(domain.options) - 1)]


def _require_order(low: int | float, high: int | float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the range {low}:{high} is not valid: low must be below high, both finite")
