"""`gen-dist compare`: one fair table of families on one dataset."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from gen_dist.cluster.compare import compare as run_comparison
from gen_dist.cluster.session import Resources
from gen_dist.data.storage import Storage, open_storage
from gen_dist.tracking.mlflow_tracker import MLflowTracker
from gen_dist.tracking.spool import RunIdentity
from gen_dist.tracking.tracker import NoTracker, Tracker
from gen_dist.workflows.comparison import (
    Comparison,
    create_comparison,
    open_comparison,
    read_entries,
    require_new,
)
from gen_dist.workflows.comparison_progress import summary
from gen_dist.workflows.comparison_report import MARKDOWN, SHEET, write_report
from gen_dist.workflows.competing_presets import chosen_presets, fits_data
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.durations import seconds_of
from gen_dist.workflows.extractor import ExtractorChoice
from gen_dist.workflows.job import Judging
from gen_dist.workflows.judging import with_shared_classifier
from gen_dist.workflows.names import checked_name, unique_name
from gen_dist.workflows.spools import spool_folder


def compare(
    presets: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    *,
    data: str = "digits",
    time_budget: str | None = None,
    images: int | None = None,
    max_epochs: float = 100.0,
    comparisons: str = "comparisons",
    name: str | None = None,
    resume: str | None = None,
    seed: int = 0,
    seeds: int = 1,
    num_samples: int = 1000,
    num_scored: int = 1000,
    extractor: ExtractorChoice = "auto",
    inception_weights: Path | None = None,
    cpus_per_run: float = 1.0,
    gpus_per_run: float | None = None,
    experiment: str = "gen_dist",
    track: bool = True,
) -> None:
    r"""Train many presets on one dataset under equal budgets, judge all by one protocol, and write one table.

    Presets train side by side, as many as the cluster (or this machine) carries. A time budget is turned into a
    number of images by measuring each preset's first rounds, so that its learning rate can fall on schedule. A preset
    that fails is a row that says why. With --seeds, each trains several times and the table says how far seeds lie
    apart. Interrupted, the comparison goes on with --resume.

    Examples:
        gen-dist compare --data digits --time-budget 1m
        gen-dist compare pixelcnn-28 realnvp-28 'vae-*28' --data fashion --time-budget 3m
        gen-dist compare dcgan-8 wgan-gp-8 --seeds 3
        gen-dist compare dcgan-32 realnvp-32 --data s3://bucket/faces --images 2000000 --gpus-per-run 1 \
            --comparisons s3://bucket/comparisons
        gen-dist compare --resume compare-20261122-1a2b3c

    Args:
        presets: names, or patterns in quotes; all that suit the images' size when left out.
        data: URI of a dataset (a folder or s3://bucket/prefix), or a built-in (digits, digits-edges, polygons, glyphs).
        time_budget: training time of each preset, e.g. 3m; 1m when neither this nor --images is given.
        images: training images of each preset, instead of a time.
        max_epochs: passes over the training images at most: without a limit, small data is learned by heart.
        comparisons: folder or s3:// prefix that holds comparisons.
        name: of the comparison.
        resume: name of a comparison to go on with, on its own terms.
        seed: of each preset's run, or of its first one.
        seeds: runs of each preset, with the seeds that follow. The table then shows means, deviations over the
            seeds, and how many runs finished.
        num_samples: images that each model draws to be judged.
        num_scored: images whose likelihood is averaged.
        extractor: of features for the Frechet distance and its kin.
        inception_weights: safetensors file, for --extractor inception.
        cpus_per_run: processors of each run, which are also its threads.
        gpus_per_run: GPUs of each run; fractions share one. A quarter when there are any.
        experiment: MLflow experiment.
        track: tell MLflow (MLFLOW_TRACKING_URI, or mlflow.db in this folder).
    """
    console = Console()
    root = open_storage(comparisons)
    folder = root.child(checked_name("comparison", resume or name or unique_name("compare")))
    if resume is None:
        if time_budget is not None and images is not None:
            raise ValueError("give either --time-budget or --images: equal time and equal images are two comparisons")
        if seeds < 1:
            raise ValueError(f"--seeds is {seeds}: each preset trains at least once")
        require_new(folder)
        dataset = dataset_of(data, console)
        for split in ("validation", "test"):  # the best model is selected on one, and judged on the other
            dataset.head(split, 1)
        chosen = chosen_presets(presets, dataset.spec)
        learners = [fits_data(preset, dataset.spec) for preset in chosen]
        judging = Judging(
            extractor=extractor,
            num_samples=num_samples,
            num_scored=num_scored,
            inception_weights=None if inception_weights is None else str(inception_weights.absolute()),
        )
        judging = with_shared_classifier(judging, dataset, folder, console, learners=learners)
        comparison = Comparison(
            name=folder.uri.rsplit("/", 1)[-1],
            presets=chosen,
            data=dataset.uri if "://" in dataset.uri else str(Path(dataset.uri).absolute()),
            data_digest=dataset.digest,
            judging=judging,
            budget_seconds=None if images is not None else seconds_of(time_budget or "1m"),
            budget_images=images,
            max_epochs=max_epochs,
            seed=seed,
            num_seeds=seeds,
            experiment=experiment if track else None,
        )
        create_comparison(folder, comparison)
    comparison = open_comparison(folder)
    tracker = _tracker_of(comparison, folder)
    tracker.start()
    try:
        run_comparison(folder.uri, console, resources=Resources(cpus=cpus_per_run, gpus=gpus_per_run))
    except KeyboardInterrupt:
        again = f"gen-dist compare --resume {comparison.name} --comparisons {comparisons}"
        console.print(f"interrupted; nothing is lost, go on with: {again}", highlight=False, soft_wrap=True)
        tracker.finish("KILLED")
        raise
    except BaseException:
        tracker.finish("FAILED")
        raise
    _conclude(comparison, folder, tracker, console)


def _conclude(comparison: Comparison, folder: Storage, tracker: Tracker, console: Console) -> None:
    report = write_report(folder, comparison, read_entries(folder, comparison))
    tracker.log_text(report.text, MARKDOWN)
    if report.sheet is not None:
        tracker.log_image(report.sheet, SHEET)
    tracker.finish()
    console.print(summary(report.standings))
    console.print(f"table and samples: {folder.uri}", highlight=False, soft_wrap=True)


def _tracker_of(comparison: Comparison, folder: Storage) -> Tracker:
    """Who is told about the comparison itself: its runs stand below it."""
    if comparison.experiment is None:
        return NoTracker()
    identity = RunIdentity(name=comparison.name, experiment=comparison.experiment)
    return MLflowTracker(identity, spool_folder(folder, comparison.experiment, comparison.name))
