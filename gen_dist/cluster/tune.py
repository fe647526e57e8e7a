"""A search on Ray Tune: Tune decides who runs when and who stops early; the ledger remembers."""

import json
import random
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import ray
import ray.tune
from ray.tune import Callback, Checkpoint, FailureConfig, PlacementGroupFactory, TuneConfig, Tuner
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from gen_dist.cluster.group import INTERRUPTIONS, last_line, together
from gen_dist.cluster.searching import START, LedgerSearcher, trial_called
from gen_dist.cluster.session import Resources, signals_kept
from gen_dist.config import RunConfig
from gen_dist.data.storage_patient import patiently
from gen_dist.distributed.seeding import seed_for
from gen_dist.distributed.world import World
from gen_dist.serialization import from_json, to_json
from gen_dist.tuning.binding import apply
from gen_dist.tuning.ledger import Ledger
from gen_dist.tuning.records import ConfirmationRecord, StudyRecord, TrialRecord
from gen_dist.tuning.score import WORST_SCORE
from gen_dist.tuning.space import Values, mutate
from gen_dist.workflows.budget import Budget
from gen_dist.workflows.confirmation import ConfirmationJob, run_confirmation
from gen_dist.workflows.job import Judging
from gen_dist.workflows.study_place import PATIENCE_SECONDS, study_at
from gen_dist.workflows.trial import News, TrialJob, concluded, run_trial
from gen_dist.workflows.watcher import StudyWatcher

CLOCK = "samples_seen"  # images shown to any critic: the same for every trial, and kept over restarts
POINTER = "checkpoint.json"
MAX_RESTARTS = 8
"""Of a trial or a confirmation whose process, node or store was lost; it goes on from its newest checkpoint."""


def search(
    ledger: Ledger,
    judging: Judging,
    *,
    resources: Resources,
    watcher: StudyWatcher,
    budget: Budget,
) -> None:
    """Run what is left of a study's search.

    Args:
        ledger: of the study; every trial ends in it.
        judging: of trials, on the search's split.
        resources: of one trial. As many run at once as the cluster carries.
        watcher: told what happens.
        budget: when its time is over, running trials are stopped and scored as they are.
    """
    study = ledger.study
    searcher = LedgerSearcher(ledger, RunConfig.from_json(study.base_config))
    trainable = ray.tune.with_resources(
        ray.tune.with_parameters(_trial, study_uri=ledger.storage.uri, judging=to_json(judging)),
        # All its workers or none: Tune starts a trial when there is room for the whole of it.
        PlacementGroupFactory(resources.bundles()),
    )
    population = study.scheduler == "pbt"
    tuner = Tuner(
        trainable,
        param_space={START: ray.tune.grid_search(searcher.population())} if population else {},
        tune_config=TuneConfig(
            metric="score",
            mode="min",
            search_alg=None if population else searcher,
            scheduler=_scheduler(study),
            num_samples=1 if population else -1,
            time_budget_s=budget.left_for_search(),
            reuse_actors=True,
        ),
        run_config=ray.tune.RunConfig(
            storage_path=ledger.storage.child("ray").uri,
            verbose=0,
            failure_config=FailureConfig(max_failures=MAX_RESTARTS),
            callbacks=[_Bookkeeper(ledger, watcher, budget)],
        ),
    )
    with signals_kept():
        tuner.fit()


def confirm(jobs: Sequence[ConfirmationJob], *, resources: Resources, watcher: StudyWatcher) -> None:
    """Run confirmation trainings, as many at once as the cluster carries; each result is in the ledger."""
    waiting = {}
    for job in jobs:
        place = placement_group(resources.bundles())  # all workers or none, as in the search
        remote = ray.remote(_confirmation).options(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            scheduling_strategy=PlacementGroupSchedulingStrategy(place, 0, placement_group_capture_child_tasks=True),
            max_retries=MAX_RESTARTS,
            retry_exceptions=list(INTERRUPTIONS),
        )
        waiting[remote.remote(to_json(job))] = job, place
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1)
        job, place = waiting.pop(ready[0])
        try:
            record = from_json(ray.get(ready[0]), ConfirmationRecord)
        except ray.exceptions.RayError as error:
            record = replace(job.record, state="failed", error=last_line(error))
            study_at(job.study).write_confirmation(record)
        remove_placement_group(place)
        watcher.confirmed(record)


def _confirmation(job: str) -> str:
    """What runs in a confirmation's process."""
    with together(_follow_confirmation, job) as world:
        return to_json(run_confirmation(from_json(job, ConfirmationJob), device=world.device, world=world))


def _follow_confirmation(job: str, world: World) -> None:
    """What runs in the processes of its other workers."""
    run_confirmation(from_json(job, ConfirmationJob), device=world.device, world=world)


def _trial(config: dict[str, Any], study_uri: str, judging: str) -> None:
    """What runs in a trial's process."""
    ledger = study_at(study_uri)
    record = trial_called(ledger, ray.tune.get_context().get_trial_id(), config)
    pointer = ray.tune.get_checkpoint()
    if pointer is not None:
        record = _from_pointer(ledger.study, record, config[START]["values"], pointer)
    job = TrialJob(
        study=study_uri,
        record=record,
        data=ledger.study.data_uri,
        data_digest=ledger.study.data_digest,
        judging=from_json(judging, Judging),
    )
    try:
        with together(_follow_trial, to_json(job)) as world:
            run_trial(job, _report, device=world.device, world=world)
    except INTERRUPTIONS as error:  # Tune starts the trial again, wherever there is room
        with suppress(*INTERRUPTIONS):
            ledger.write_trial(replace(ledger.trial(record.id), error=_described(error)))
        raise
    except Exception as error:  # noqa: BLE001 - its own fault, which would only come again: an outcome of the trial
        failed = replace(ledger.trial(record.id), state="failed", score=WORST_SCORE, error=_described(error))
        ledger.write_trial(failed)
        _report(News(record=failed))


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _follow_trial(job: str, world: World) -> None:
    """What runs in the processes of a trial's other workers."""
    run_trial(from_json(job, TrialJob), device=world.device, world=world)


def _report(news: News) -> None:
    """Hand Tune the figures that it decides on, and a pointer to the checkpoint that population training copies."""
    metrics = {
        "score": news.record.score,
        CLOCK: news.record.spent.images,
        "rows": news.rows,
        "evaluation": news.evaluation,
    }
    with tempfile.TemporaryDirectory() as folder:
        pointer = {"checkpoint": news.record.checkpoint, "trial": news.record.id}
        Path(folder, POINTER).write_text(json.dumps(pointer))
        # Tune copies the pointer to the study's place by itself, before anybody is told, and gives up after seconds.
        patiently(
            lambda: ray.tune.report(metrics, checkpoint=Checkpoint.from_directory(folder)),
            PATIENCE_SECONDS,
            "the study's place",
            outages=(OSError,),
        )


def _from_pointer(study: StudyRecord, record: TrialRecord, values: Values, pointer: Checkpoint) -> TrialRecord:
    """The trial as it goes on: from its own checkpoint, or from another's whose place it took over."""
    with pointer.as_directory() as folder:
        content = json.loads(Path(folder, POINTER).read_text())
    if content["trial"] == record.id and study.scheduler != "pbt":
        return record  # it names its newest checkpoint, of which Tune may not have heard; older ones are deleted
    record = replace(record, checkpoint=content["checkpoint"])
    if content["trial"] == record.id:
        return record
    base = RunConfig.from_json(record.config)
    config = apply(study.space, values, base)
    return replace(
        record,
        parent=content["trial"],
        parent_checkpoint=content["checkpoint"],
        values=values,
        config=config.to_json(),
    )


def _scheduler(study: StudyRecord) -> TrialScheduler:
    """Who stops trials early; all of them read the same clock."""
    images = study.images_per_trial
    match study.scheduler:
        case "none":
            return FIFOScheduler()
        case "asha":
            # Twice the budget: a trial that reaches its end ends by itself, and was not stopped early.
            return AsyncHyperBandScheduler(
                time_attr=CLOCK, max_t=2 * images, grace_period=max(1, images // 4), reduction_factor=2
            )
        case "median":
            return MedianStoppingRule(time_attr=CLOCK, grace_period=images // 4, min_samples_required=3)
        case "pbt":
            return PopulationBasedTraining(
                time_attr=CLOCK,
                perturbation_interval=max(1, images // 4),
                custom_explore_fn=_Explore(study),
                synch=False,
            )
    raise ValueError(f"there is no scheduler {study.scheduler!r}; choose none, asha, median or pbt")


@final
class _Explore:
    """How a trial departs from the winner whose weights it takes over."""

    def __init__(self, study: StudyRecord) -> None:
        self._space = study.space
        self._rng = random.Random(seed_for("population", study.seed))  # noqa: S311

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        """The winner's configuration with other learning rates, betas, k and penalty weight."""
        start = config[START]
        return {**config, START: {**start, "values": mutate(self._space, start["values"], self._rng)}}


@final
class _Bookkeeper(Callback):  # type: ignore[misc]
    """Tells the watcher what Tune sees, and concludes the trials that Tune ends itself."""

    def __init__(self, ledger: Ledger, watcher: StudyWatcher, budget: Budget) -> None:
        self._ledger, self._watcher, self._budget = ledger, watcher, budget

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes its callbacks down to restore them, and a study is resumed from its ledger."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_info: Any) -> None:
        """A trial got its place."""
        self._watcher.started(trial_called(self._ledger, trial.trial_id, trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **_info: Any
    ) -> None:
        """A trial was evaluated."""
        if "rows" in result:
            record = trial_called(self._ledger, trial.trial_id, trial.config)
            self._watcher.news(News(record=record, rows=result["rows"], evaluation=result["evaluation"]))

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_info: Any) -> None:
        """A trial ended, or the scheduler ended it."""
        record = trial_called(self._ledger, trial.trial_id, trial.config)
        if self._budget.search_is_over() and record.state == "running":
            return  # nobody thought it hopeless; it is concluded with all that the end of the search cut off
        if record.state == "running":
            config = RunConfig.from_json(record.config)
            record = concluded(record, config, self._ledger.study.anchors, stopped_early=True)
            self._ledger.write_trial(record)
        self._watcher.ended(record)

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_info: Any) -> None:
        """A trial's process, node or store was lost; Tune starts it again."""
        self._watcher.interrupted(trial_called(self._ledger, trial.trial_id, trial.config))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_info: Any) -> None:
        """A trial was interrupted once too often: that is an outcome of the trial, and not the end of the study."""
        record = trial_called(self._ledger, trial.trial_id, trial.config)
        cause = record.error or "its process died"
        record = replace(record, state="failed", error=f"{cause} (start {trial.num_failures} of it)")
        self._ledger.write_trial(record)
        self._watcher.ended(record)
