"""A space as Optuna sees it: define by run, so that conditions hold inside the searcher too."""

from typing import Protocol, runtime_checkable

from gen_dist.tuning.space import (
    Choice,
    Dimension,
    Domain,
    IntRange,
    LogUniform,
    Space,
    Uniform,
    Value,
    Values,
    domain_given,
)


@runtime_checkable
class Suggests(Protocol):
    """What `suggest` needs of an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A real number in [low, high]."""
        ...

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        ...

    def suggest_categorical(self, name: str, choices: tuple[Value, ...]) -> Value:
        """One of the choices."""
        ...


def suggest(space: Space, trial: Suggests) -> Values:
    """Ask an Optuna trial (or Ray Tune's wrapper around one) for every dimension that exists: define by run."""
    values: Values = {}
    for dimension in space.dimensions:
        domain = domain_given(space, dimension, values)
        if domain is None:
            continue
        name = parameter_name(dimension, domain)
        match domain:
            case Uniform():
                values[dimension.name] = trial.suggest_float(name, domain.low, domain.high)
            case LogUniform():
                values[dimension.name] = trial.suggest_float(name, domain.low, domain.high, log=True)
            case IntRange():
                values[dimension.name] = trial.suggest_int(name, domain.low, domain.high)
            case Choice():
                values[dimension.name] = trial.suggest_categorical(name, domain.options)
    return values


def parameter_name(dimension: Dimension, domain: Domain) -> str:
    """How a searcher calls the dimension: by its options as well where some are excluded.

    A searcher keeps one domain per name, so a choice without some of its options is another parameter to it.
    """
    if isinstance(domain, Choice) and domain != dimension.domain:
        return f"{dimension.name} ({', '.join(map(str, domain.options))})"
    return dimension.name
