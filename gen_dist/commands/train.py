"""`gen-dist train`: one preset on one dataset."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from gen_dist.capabilities import Samples, Translates
from gen_dist.cluster.train import Workers, run_here, run_on_ray
from gen_dist.config import RunConfig, override
from gen_dist.evaluation.evaluator import can_be_judged
from gen_dist.evaluation.protocol import EvaluationRecord
from gen_dist.presets import PRESETS
from gen_dist.presets import preset as preset_named
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import record_view
from gen_dist.workflows.extractor import ExtractorChoice
from gen_dist.workflows.foundation import with_foundation
from gen_dist.workflows.job import Judging, RunJob, RunResult, create_run, open_run, read_result
from gen_dist.workflows.judging import outline, with_shared_classifier
from gen_dist.workflows.names import checked_model_name, unique_name
from gen_dist.workflows.registration import register_run


def train(
    preset: Annotated[str | None, tyro.conf.Positional] = None,
    *,
    data: str = "digits",
    workers: str = "1",
    runs: str = "runs",
    name: str | None = None,
    resume: str | None = None,
    seed: int | None = None,
    foundation: str | None = None,
    time_budget_seconds: float | None = None,
    extractor: ExtractorChoice = "auto",
    inception_weights: str | None = None,
    num_samples: int = 1000,
    evaluate: bool = True,
    experiment: str = "gen_dist",
    track: bool = True,
    register: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> None:
    r"""Train one preset on one dataset, alone or on many workers, and keep what it learned.

    One worker trains in this process; more are started by Ray, on this machine or on the cluster that RAY_ADDRESS
    names. The number of workers never changes what is learned. Ctrl-C writes a checkpoint and says how to go on.

    Any field of the configuration can be set by its path: --training.images 200000 --model.latent-dim 64.

    Examples:
        gen-dist train dcgan-8 --data digits
        gen-dist train vae-8 --data digits --training.images 100000 --seed 1
        gen-dist train dcgan-32 --data s3://bucket/faces --runs s3://bucket/runs --workers 2:8 \
            --training.num-micro-batches 8
        gen-dist train vqvae-prior-8 --data digits --foundation runs/NAME/bundle
        gen-dist train --resume dcgan-8-1a2b3c

    Args:
        preset: name of a preset (`gen-dist models` lists them).
        data: URI of a dataset (a folder or s3://bucket/prefix), or a built-in (digits, digits-edges, polygons, glyphs).
        workers: a number, or a range such as 2:8 inside which the run follows the cluster.
        runs: folder or s3:// prefix that holds the runs.
        name: of the run; made up from the preset when left out.
        resume: name of a run to go on with, with its own settings.
        seed: of weights, noise and data order.
        foundation: folder or s3:// prefix of the bundle that a two-stage family builds on.
        time_budget_seconds: stop after this much training, counted anew at every --resume.
        extractor: of features for the Frechet distance and its kin.
        inception_weights: safetensors file, for --extractor inception.
        num_samples: images drawn for an evaluation.
        evaluate: judge the model at the end, and during training as the preset says.
        experiment: MLflow experiment.
        track: tell MLflow (MLFLOW_TRACKING_URI, or mlflow.db in this folder).
        register: name of a registered model to challenge with the result.
        overrides: fields of the configuration by path.
    """
    console = Console()
    if register is not None:
        checked_model_name(register)
    if resume is not None:
        job = replace(
            _resumed(resume, runs, preset, overrides, seed, foundation), time_budget_seconds=time_budget_seconds
        )
    else:
        config = _configured(preset, seed, foundation, overrides)
        dataset = dataset_of(data, console)
        config = with_foundation(config, dataset.spec)
        job = RunJob(
            name=name or unique_name(str(preset)),
            runs=_absolute(runs),
            config=config,
            data=_absolute(dataset.uri),
            data_digest=dataset.digest,
            judging=Judging(
                extractor=extractor,
                inception_weights=_absolute(inception_weights) if inception_weights else None,
                num_samples=num_samples,
            )
            if evaluate
            else None,
            experiment=experiment if track else None,
            time_budget_seconds=time_budget_seconds,
        )
    how_many = Workers.parse(workers)
    alone = how_many.most == 1 and not os.environ.get("RAY_ADDRESS")
    if resume is None and not alone and job.judging is not None:
        dataset = dataset_of(data, console)
        learner = outline(job.config.model, dataset.spec)
        if can_be_judged(learner):
            judging = with_shared_classifier(job.judging, dataset, job.folder, console, learners=[learner])
            job = replace(job, judging=judging)
    if resume is None:
        create_run(job)
    result = run_here(job, console) if alone else run_on_ray(job, how_many, console)
    _tell(job, result, preset, console)
    if register is not None and result.finished:
        register_run(job, result, register, console)


def _configured(
    preset: str | None, seed: int | None, foundation: str | None, overrides: Mapping[str, Any] | None
) -> RunConfig:
    if preset is None:
        raise ValueError("name a preset to train (`gen-dist models` lists them), or a run to go on with: --resume RUN")
    values = dict(overrides or {})
    if seed is not None:
        values["seed"] = seed
    if foundation is not None:
        values["foundation"] = _absolute(foundation)
    taken = [path for path in values if path.startswith("model.foundation.")]
    if taken:
        raise ValueError(f"--{taken[0]} can't be set: all of model.foundation comes from the bundle of --foundation")
    return override(preset_named(preset), values)


def _resumed(
    name: str,
    runs: str,
    preset: str | None,
    overrides: Mapping[str, Any] | None,
    seed: int | None,
    foundation: str | None,
) -> RunJob:
    if preset is not None or overrides or seed is not None or foundation is not None:
        raise ValueError(
            "--resume goes on with the run's own settings: leave out the preset, --seed, --foundation and overrides"
        )
    job = open_run(_absolute(runs), name)
    result = read_result(job)
    if result is not None and result.finished:
        raise ValueError(f"run {name!r} is finished; its model is {result.bundle}")
    return job


def _absolute(uri: str) -> str:
    """Workers run in folders of their own, so a local path must not depend on this one."""
    return uri if "://" in uri else str(Path(uri).absolute())


def _tell(job: RunJob, result: RunResult, preset: str | None, console: Console) -> None:
    """What came of it, and what to do next."""
    if result.diverged is not None:
        raise ValueError(
            f"run {job.name!r} diverged: {result.diverged['player']} in round {result.diverged['round']}, first "
            f"non-finite tensor {result.diverged['tensor']}. Lower its learning rate, or search for one: gen-dist tune"
        )
    if not result.finished:
        console.print(
            f"stopped after {result.samples_seen:,} images; go on with: gen-dist train --resume {job.name} "
            f"--runs {job.runs}",
            highlight=False,
            soft_wrap=True,
        )
        return
    if result.evaluation is not None:
        console.print(record_view(EvaluationRecord.from_json(result.evaluation)))
    learner = outline(job.config.model, dataset_of(job.data, console).spec)
    lines = [f"model: {result.bundle}"]
    if isinstance(learner, Samples):
        lines.append(f"draw from it: gen-dist sample {result.bundle} -n 64 --out grid.png")
    if isinstance(learner, Translates):
        lines.append(f"translate with it: gen-dist explore translate {result.bundle} --data {job.data}")
    lines += [
        f"build on it: gen-dist train {name} --data {job.data} --foundation {result.bundle}"
        for name, row in PRESETS.items()
        if preset is not None and row.foundation == preset
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
