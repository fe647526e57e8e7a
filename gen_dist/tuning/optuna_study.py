"""Trials of the ledger as Optuna knows them, to start a searcher from what a killed study had already learned."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna

from gen_dist.tuning.space import Choice, Domain, IntRange, LogUniform, Space, Uniform, Value, Values, domain_given
from gen_dist.tuning.suggest import parameter_name, suggest


def define_by_run(space: Space) -> Callable[[optuna.Trial], dict[str, Values]]:
    """The space as a function of an Optuna trial; the draw stands under "values", apart from the searcher's names.

    Ray Tune's `OptunaSearch(space=...)` takes this function; the trial then finds its draw in `config["values"]`.
    """
    return lambda trial: {"values": suggest(space, trial)}


@dataclass(frozen=True, slots=True)
class WarmStart:
    """A study in memory that was told what is known already, with the parts that Ray Tune's `OptunaSearch` takes.

    Attributes:
        study: ready for `ask`.
        storage: in which it lies; lives and dies with this process.
        sampler: seeded TPE.
    """

    study: optuna.Study
    storage: optuna.storages.BaseStorage
    sampler: optuna.samplers.BaseSampler


def warm_start(space: Space, told: Iterable[tuple[Mapping[str, Value], float]], *, name: str, seed: int) -> WarmStart:
    """A study that minimises with TPE and has been told the given (values, score) pairs.

    Ray Tune goes on from it with `OptunaSearch(space=define_by_run(space), storage=warm.storage,
    sampler=warm.sampler, study_name=name, metric=..., mode="min")`.
    """
    # Constant liar: several trials run at once, and what still runs must not be proposed again.
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    storage = optuna.storages.InMemoryStorage()
    with quiet():
        study = optuna.create_study(study_name=name, direction="minimize", sampler=sampler, storage=storage)
    for values, score in told:
        study.add_trial(frozen_trial(space, values, score))
    return WarmStart(study, storage, sampler)


@contextmanager
def quiet() -> Iterator[None]:
    """No word from Optuna about studies that nobody asked for by name."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def frozen_trial(space: Space, values: Mapping[str, Value], score: float) -> optuna.trial.FrozenTrial:
    """A finished trial under the searcher's parameter names, those that `suggest` would have used."""
    params: dict[str, Any] = {}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    drawn: Values = {}
    for dimension in space.dimensions:
        domain = domain_given(space, dimension, drawn)
        if domain is None or dimension.name not in values:
            continue
        value = values[dimension.name]
        drawn[dimension.name] = value
        name = parameter_name(dimension, domain)
        params[name] = value
        distributions[name] = distribution(domain)
    return optuna.trial.create_trial(params=params, distributions=distributions, value=score)


def distribution(domain: Domain) -> optuna.distributions.BaseDistribution:
    """Optuna's name for a domain."""
    match domain:
        case Uniform():
            return optuna.distributions.FloatDistribution(domain.low, domain.high)
        case LogUniform():
            return optuna.distributions.FloatDistribution(domain.low, domain.high, log=True)
        case IntRange():
            return optuna.distributions.IntDistribution(domain.low, domain.high)
        case Choice():
            return optuna.distributions.CategoricalDistribution(domain.options)
