"""A whole study on Ray: search, then confirm. Killed at any moment, it goes on from its ledger."""

from dataclasses import replace

from rich.console import Console

from gen_dist.cluster.room import RoomWatch
from gen_dist.cluster.session import Resources, connect, describe_resources, fits, how_many_fit, shortage
from gen_dist.cluster.tune import confirm, search
from gen_dist.config import RunConfig, override
from gen_dist.distributed.world import World
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.tracker import NoTracker, Tracker
from gen_dist.training.curriculum import Curriculum
from gen_dist.tuning.confirm import to_confirm
from gen_dist.tuning.ledger import Ledger
from gen_dist.tuning.records import ConfirmationRecord
from gen_dist.workflows.budget import Budget
from gen_dist.workflows.confirmation import ConfirmationJob
from gen_dist.workflows.spools import spool_folder
from gen_dist.workflows.study import StudyTerms, terms_of
from gen_dist.workflows.study_page import show_terms
from gen_dist.workflows.trial import concluded
from gen_dist.workflows.watcher import StudyWatcher


def run_study(
    ledger: Ledger, tracker: Tracker, console: Console, *, resources: Resources, seconds: float | None
) -> None:
    """Take a study from where it is to its end: search, then confirm.

    Args:
        ledger: of the study.
        tracker: of the study itself.
        console: where to show progress.
        resources: of one trial; as many run at once as the cluster carries.
        seconds: of this call, instead of the study's own time budget.

    Raises:
        ValueError: a trial would have more workers than micro-batches.
        KeyboardInterrupt: the search was interrupted; it goes on with --resume.
    """
    settings = RunConfig.from_json(ledger.study.base_config).training
    Curriculum(settings).check_workers(World(size=resources.workers))
    folder = ledger.storage
    tracker.start()  # before its trials: MLflow puts them below it
    show_terms(ledger.study, tracker)
    terms = terms_of(folder)
    connect(console)
    # Its clock starts when Ray is up, which takes a minute on a busy machine.
    budget = Budget(seconds if seconds is not None else terms.settings.time_budget_seconds)
    taken = resources.settled()
    console.print(
        f"study {ledger.study.name} in {folder.uri}, on {describe_resources()}", highlight=False, soft_wrap=True
    )
    if (waits := shortage(taken)) is not None:
        console.print(waits, highlight=False, soft_wrap=True)
    with (
        StudyWatcher(ledger.study, folder, console, lambda name: child_tracker(ledger, terms, name)) as watcher,
        RoomWatch(taken.workers, replace(taken, workers=1), console, said=not fits(taken)),
    ):
        left = [t for t in ledger.trials() if t.state in ("pending", "running")]
        if left or len(ledger.trials()) < ledger.study.num_trials:
            search(ledger, terms.judging, resources=taken, watcher=watcher, budget=budget)
        conclude_running(ledger, watcher, over=budget.search_is_over())
        trials = ledger.trials()
        unfinished = len(trials) < ledger.study.num_trials or any(t.state in ("pending", "running") for t in trials)
        if unfinished and not budget.search_is_over():
            raise KeyboardInterrupt  # Tune swallows Ctrl-C and returns as if the search were complete
        jobs = confirmation_jobs(ledger, terms, budget, taken)
        if jobs:
            watcher.confirming(len(jobs))
            confirm(jobs, resources=taken, watcher=watcher)


def conclude_running(ledger: Ledger, watcher: StudyWatcher, *, over: bool) -> None:
    """Trials that the end of the search's time cut off are judged by what they reached."""
    for trial in ledger.trials() if over else ():
        if trial.state == "running" and trial.evaluations:
            config = RunConfig.from_json(trial.config)
            ended = concluded(trial, config, ledger.study.anchors)
            ledger.write_trial(ended)
            watcher.ended(ended)
        elif trial.state == "running":  # not judged once: a resumed study would begin it again
            ledger.write_trial(replace(trial, state="pending"))


def confirmation_jobs(ledger: Ledger, terms: StudyTerms, budget: Budget, resources: Resources) -> list[ConfirmationJob]:
    """The confirmation runs that are left to do, the best configuration's first."""
    study = ledger.study
    done = {(run.trial_id, run.seed) for run in ledger.confirmations() if run.state in ("finished", "failed")}
    jobs = []
    for trial in to_confirm(ledger.trials(), terms.settings.confirm):
        for seed in study.confirmation_seeds:
            if (trial.id, seed) in done:
                continue
            config = override(
                RunConfig.from_json(trial.config),
                {"seed": seed, "training.images": terms.confirm_images, "training.evaluate_every_images": None},
            )
            jobs.append(
                ConfirmationJob(
                    study=ledger.storage.uri,
                    record=ConfirmationRecord(trial_id=trial.id, seed=seed, config=config.to_json()),
                    data=study.data_uri,
                    data_digest=study.data_digest,
                    judging=replace(terms.judging, split="test"),
                    selecting=terms.judging,
                )
            )
    seconds = budget.for_each(len(jobs), at_once=how_many_fit(resources))
    return [replace(job, seconds=seconds) for job in jobs]


def child_tracker(ledger: Ledger, terms: StudyTerms, name: str) -> Tracker:
    """Who is told about one trial: an MLflow run below the study's."""
    if terms.experiment is None:
        return NoTracker()
    study = ledger.study.name
    identity = RunIdentity(name=f"{study}/{name}", experiment=terms.experiment, parent=study)
    folder = spool_folder(ledger.storage, terms.experiment, study) / name
    return MLflowTracker(identity, folder, system_metrics_every_seconds=None)


def study_tracker(ledger: Ledger) -> Tracker:
    """Who is told about the study itself."""
    terms = terms_of(ledger.storage)
    if terms.experiment is None:
        return NoTracker()
    study = ledger.study
    folder = spool_folder(ledger.storage, terms.experiment, study.name) / "study"
    return MLflowTracker(RunIdentity(name=study.name, experiment=terms.experiment), folder)
