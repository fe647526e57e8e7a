"""Trials of the ledger as Optuna knows them, to start a searcher from what a killed study had already learned."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna

from gen_dist.tuning.space import (
    Choice,
    Domain,
    IntRange,
    LogUniform,
    Space,
    Uniform,
    Value,
    Values,
    domain_given,
    parameter_name,
    suggest,
)


def define_by_run(space: Space) -> Callable[[optuna.Trial], dict[str, Values]]:
    """The space as a function of an Optuna trial; the draw stands under "values", apart from the searcher's names.

    Ray Tune's `OptunaSearch(space=...)` takes this function; the trial then finds its draw in `config["values"]`.
    """
    return lambda trial: {"values": suggest(space, trial)}


def warm_study(
    space: Space, told: Iterable[tuple[Mapping[str, Value], float]], *, name: str, seed: int
) -> optuna.Study:
    """A study in memory that minimises with seeded TPE and has been told the given (values, score) pairs.

    `OptunaSearch(space=define_by_run(space), storage=study._storage, study_name=name, sampler=study.sampler)` goes on
    from it; so does `study.ask()`.
    """
    # Constant liar: several trials run at once, and those still running must not be proposed again.
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=False, constant_liar=True)
    study = optuna.create_study(study_name=name, direction="minimize", sampler=sampler, storage=in_memory_storage())
    for values, score in told:
        study.add_trial(frozen_trial(space, values, score))
    return study


def in_memory_storage() -> optuna.storages.BaseStorage:
    """A storage that lives and dies with this process."""
    return optuna.storages.InMemoryStorage()


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
