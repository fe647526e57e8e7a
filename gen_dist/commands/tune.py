"""`gen-dist tune`: what makes a GAN stable on this data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from gen_dist.cluster.session import Resources
from gen_dist.cluster.study import run_study, study_tracker
from gen_dist.config import override
from gen_dist.data.storage import open_storage
from gen_dist.presets import preset as preset_named
from gen_dist.tracking.location import redact, store_uri
from gen_dist.tuning.ledger import open_ledger
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.durations import seconds_of
from gen_dist.workflows.ending import finish_study, how_to_go_on
from gen_dist.workflows.extractor import ExtractorChoice
from gen_dist.workflows.job import Judging
from gen_dist.workflows.names import checked_model_name, checked_name, model_name_of, unique_name
from gen_dist.workflows.registration import register_winner
from gen_dist.workflows.study import SchedulerName, SearcherName, StudySettings, new_study, terms_of
from gen_dist.workflows.study_place import study_at


def tune(
    *,
    data: str = "digits",
    preset: str = "dcgan-8",
    space: str = "quick",
    dimension: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    trials: int | None = None,
    time_budget: str | None = None,
    images: int | None = None,
    confirm: int = 2,
    confirm_images: int | None = None,
    seeds: int = 3,
    searcher: SearcherName = "tpe",
    scheduler: SchedulerName = "asha",
    seed: int = 0,
    extractor: ExtractorChoice = "auto",
    inception_weights: str | None = None,
    num_samples: int = 1000,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float | None = None,
    workers_per_trial: int = 1,
    studies: str = "studies",
    name: str | None = None,
    resume: str | None = None,
    register: str | None = None,
    experiment: str = "gen_dist",
    track: bool = True,
    overrides: Mapping[str, Any] | None = None,
) -> None:
    """Search what makes a GAN stable on your images, confirm the best settings, and register the winner.

    Trials run side by side, as many as the machine or the cluster (RAY_ADDRESS) carries. Every trial ends with a
    diagnosis. The best settings are trained again from fresh seeds and judged on data that the search never saw. You
    get a report (one HTML file), everything in MLflow, and a registered model.

    Any field of the preset can be set by its path: --model.latent-dim 64.

    Examples:
        gen-dist tune --data digits --time-budget 5m
        gen-dist tune --data s3://bucket/faces --preset dcgan-32 --space stability --trials 60 --gpus-per-trial 0.5
        gen-dist tune --data digits --dimension objective=hinge,wasserstein-gp --dimension critic_updates=1:3
        gen-dist tune --resume tune-20261122-1a2b3c

    Args:
        data: URI of a dataset (a folder or s3://bucket/prefix), or a built-in (digits, digits-edges, polygons, glyphs).
        preset: an adversarial preset (`gen-dist models` lists them).
        space: quick, stability, or lucic (the ranges of "Are GANs Created Equal?").
        dimension: change to the space, once for each change, e.g. critic_learning_rate=1e-5:1e-2:log,
            objective=hinge, or k=preset.
        trials: how many; the space has a default.
        time_budget: of the whole study, e.g. 20m; the search has a little less than half of it.
        images: that a full trial draws; a quarter of the preset's when left out.
        confirm: how many of the best settings are trained again; 0 for none, and nothing is registered then.
        confirm_images: that a confirmation draws; the preset's when left out.
        seeds: how often each of the best settings is trained again.
        searcher: tpe learns from earlier trials, random does not.
        scheduler: asha and median stop hopeless trials early, pbt moves settings during training, none does nothing.
        seed: of the search.
        extractor: of features for the Frechet distance and its kin.
        inception_weights: safetensors file, for --extractor inception.
        num_samples: images drawn for an evaluation.
        cpus_per_trial: of one trial, or of each of its workers.
        gpus_per_trial: the same; fractions share a GPU. A quarter when there are any, one for each of several workers.
        workers_per_trial: that train one trial together, on one node or several; at most training.num_micro_batches.
        studies: folder or s3:// prefix that holds the studies.
        name: of the study.
        resume: name of a study to go on with.
        register: name of the registered model to challenge; gen-dist-<data> when left out, "" for none.
        experiment: MLflow experiment.
        track: tell MLflow (MLFLOW_TRACKING_URI, or mlflow.db in this folder).
        overrides: fields of the preset by path.
    """
    console = Console()
    resources = Resources(cpus=cpus_per_trial, gpus=gpus_per_trial, workers=workers_per_trial)
    root = open_storage(studies)
    name = checked_name("study", resume or name or unique_name("tune"))
    if resume is None:
        settings = StudySettings(
            space=space,
            dimensions=dimension,
            searcher=searcher,
            scheduler=scheduler,
            num_trials=trials,
            images_per_trial=images,
            confirm_images=confirm_images,
            confirm=confirm,
            num_seeds=seeds,
            time_budget_seconds=None if time_budget is None else seconds_of(time_budget),
            seed=seed,
        )
        dataset = dataset_of(data, console)
        new_study(
            name,
            root.child(name),
            preset,
            override(preset_named(preset), overrides or {}),
            dataset,
            settings,
            judging=Judging(
                extractor=extractor,
                split="validation",
                num_samples=num_samples,
                inception_weights=None if inception_weights is None else str(Path(inception_weights).absolute()),
            ),
            experiment=experiment if track else None,
            register=model_name_of(dataset.uri) if register is None else register and checked_model_name(register),
            console=console,
        )
    folder = root.child(name)
    seconds = None if resume is None or time_budget is None else seconds_of(time_budget)
    open_ledger(folder)  # where a place is mistyped, nobody should wait for it
    ledger = study_at(folder.uri)
    tracker = study_tracker(ledger)
    try:
        run_study(ledger, tracker, console, resources=resources, seconds=seconds)
    except KeyboardInterrupt:
        again = f"gen-dist tune --resume {folder.uri.rsplit('/', 1)[-1]} --studies {studies}"
        console.print(f"interrupted; nothing is lost, go on with: {again}", highlight=False, soft_wrap=True)
        tracker.finish("KILLED")
        raise
    view = finish_study(ledger, tracker, console)
    if (more := how_to_go_on(view, studies)) is not None:
        console.print(more, highlight=False, soft_wrap=True)
    terms = terms_of(ledger.storage)
    try:
        if terms.register:
            register_winner(ledger, view, terms.register, terms.judging, terms.experiment or experiment, console)
    finally:
        tracker.finish()
    if terms.experiment is not None:
        console.print(f"MLflow: {redact(store_uri())}; look at it with: gen-dist ui", highlight=False, soft_wrap=True)
