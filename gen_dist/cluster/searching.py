"""How Ray Tune is told what to try next, and how trials travel: the only glue between the ledger and Tune."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, final

import optuna
from ray.tune.search import Searcher

from gen_dist.config import RunConfig
from gen_dist.distributed.seeding import seed_for
from gen_dist.tuning.binding import apply
from gen_dist.tuning.ledger import Ledger
from gen_dist.tuning.optuna_study import warm_start
from gen_dist.tuning.records import TrialRecord
from gen_dist.tuning.score import WORST_SCORE
from gen_dist.tuning.space import Values, sample
from gen_dist.tuning.suggest import suggest

START = "start"
"""Key of what Tune hands a trial: our name for it and the values that it begins with."""
NAMES = "tune"
"""Folder of the study in which Tune's name of a trial leads to ours. A population's trials take over each other's
configurations, so what a trial began with is written down when it starts for the first time."""


optuna.logging.set_verbosity(optuna.logging.WARNING)


@final
class LedgerSearcher(Searcher):  # type: ignore[misc]
    """Gives Tune the trials of a study: first those that a killed study left unfinished, then new ones.

    Every trial is in the ledger before Tune knows it, so nothing that was proposed is ever lost. A TPE search starts
    from the finished trials of the ledger.

    Args:
        ledger: of the study.
        base: the configuration that trials vary.
    """

    def __init__(self, ledger: Ledger, base: RunConfig) -> None:
        super().__init__(metric="score", mode="min")
        self._ledger, self._base = ledger, base
        study = ledger.study
        known = ledger.trials()
        self._unfinished = [trial for trial in known if trial.state in ("pending", "running")]
        self._next_number = max((trial.number for trial in known), default=-1) + 1
        self._optuna: optuna.Study | None = None
        if study.searcher == "tpe":
            told = [(t.values, t.score) for t in known if t.scored and t.score is not None]
            self._optuna = warm_start(study.space, told, name=study.name, seed=study.seed).study
        self._asked: dict[str, optuna.Trial | None] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial, as the configuration that the trainable gets."""
        proposed = self._next()
        if proposed is None:
            return Searcher.FINISHED
        record, self._asked[trial_id] = proposed
        return {START: {"id": record.id, "values": dict(record.values)}}

    def population(self) -> list[dict[str, Any]]:
        """All trials that are left at once: a population is complete before it begins."""
        starts = []
        while (proposed := self._next()) is not None:
            starts.append({"id": proposed[0].id, "values": dict(proposed[0].values)})
        return starts

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Tell the sampler what came of a trial."""
        asked = self._asked.pop(trial_id, None)
        if asked is None or self._optuna is None:
            return
        score = WORST_SCORE if error or not result else float(result.get("score", WORST_SCORE))
        self._optuna.tell(asked, score)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the same reason as in `save`."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the memory of a study, and nothing of Tune's is ever read back."""

    def restore(self, checkpoint_path: str) -> None:
        """Never: see `save`."""
        raise NotImplementedError("a study is resumed from its ledger")

    def _next(self) -> tuple[TrialRecord, optuna.Trial | None] | None:
        """The next trial, in the ledger already; None when the study has all it wants."""
        if self._unfinished:
            return self._unfinished.pop(0), None
        if self._next_number >= self._ledger.study.num_trials:
            return None
        record, asked = self._new()
        self._ledger.write_trial(record)
        return record, asked

    def _new(self) -> tuple[TrialRecord, optuna.Trial | None]:
        study = self._ledger.study
        number, self._next_number = self._next_number, self._next_number + 1
        asked = None
        if self._optuna is not None:
            asked = self._optuna.ask()
            values: Values = suggest(study.space, asked)
        else:
            values = sample(study.space, random.Random(seed_for("trial", study.seed, number)))  # noqa: S311
        config = replace(
            apply(study.space, values, self._base), seed=seed_for("trial seed", study.seed, number) % 2**31
        )
        return TrialRecord(id=f"t{number:04d}", number=number, values=values, config=config.to_json()), asked


def trial_called(ledger: Ledger, tune_name: str, config: Mapping[str, Any]) -> TrialRecord:
    """The ledger's record of the trial that Tune calls so; `config` is what Tune says that it runs with now."""
    key = f"{NAMES}/{tune_name}"
    try:
        name = ledger.storage.read_bytes(key).decode()
    except FileNotFoundError:
        name = str(config[START]["id"])
        ledger.storage.write_bytes(key, name.encode())
    return ledger.trial(name)
