"""The terms of a study: checked as a whole and written down before anything runs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, final

import torch
from rich.console import Console

from gen_dist.config import RunConfig, override
from gen_dist.data.dataset import Dataset
from gen_dist.data.storage import Storage
from gen_dist.distributed.seeding import seed_for
from gen_dist.models.table import family_of
from gen_dist.serialization import from_json, to_json
from gen_dist.tuning.binding import bind
from gen_dist.tuning.dimension_text import override_dimensions
from gen_dist.tuning.ledger import STUDY_KEY, Ledger, create_ledger
from gen_dist.tuning.records import StudyRecord
from gen_dist.tuning.spaces import space as space_named
from gen_dist.workflows.job import Judging
from gen_dist.workflows.judging import outline, with_shared_classifier
from gen_dist.workflows.trial import judge_of

TERMS = "terms.json"
SearcherName = Literal["random", "tpe"]
SchedulerName = Literal["none", "asha", "median", "pbt"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudySettings:
    """What a study is asked to do, beside the model and the data.

    Attributes:
        space: name of the search space.
        dimensions: changes to it, as text.
        searcher: how values are proposed.
        scheduler: who stops trials early.
        num_trials: how many trials, or None for the space's own number.
        images_per_trial: images drawn by a full trial, or None for a quarter of the preset's.
        confirm_images: images drawn by a confirmation run, or None for the preset's.
        evaluations: of one trial, evenly spread.
        confirm: how many configurations are trained again; with none, nothing is registered.
        num_seeds: how often each.
        time_budget_seconds: of the whole study, or None.
        seed: of the search.
    """

    space: str
    dimensions: tuple[str, ...] = ()
    searcher: SearcherName = "tpe"
    scheduler: SchedulerName = "asha"
    num_trials: int | None = None
    images_per_trial: int | None = None
    confirm_images: int | None = None
    evaluations: int = 8
    confirm: int = 2
    num_seeds: int = 3
    time_budget_seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.confirm < 0 or self.num_seeds < 1:
            raise ValueError(
                f"--confirm {self.confirm} --seeds {self.num_seeds}: confirm 0 or more, each with 1 seed or more"
            )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyTerms:
    """What a resumed study must know beside its ledger.

    Attributes:
        settings: as it was started.
        judging: of trials.
        confirm_images: images drawn by a confirmation run.
        experiment: MLflow's, or None for no tracking.
        register: name of the registered model that the winner challenges, or empty for none.
    """

    settings: StudySettings
    judging: Judging
    confirm_images: int
    experiment: str | None
    register: str


def terms_of(folder: Storage) -> StudyTerms:
    """The terms that `new_study` wrote.

    Raises:
        ValueError: there is no study in the folder, or the file is damaged.
    """
    try:
        return from_json(folder.read_bytes(TERMS).decode(errors="replace"), StudyTerms)
    except FileNotFoundError as error:
        raise ValueError(f"there is no study at {folder.uri}") from error


def new_study(
    name: str,
    folder: Storage,
    preset: str,
    config: RunConfig,
    dataset: Dataset,
    settings: StudySettings,
    *,
    judging: Judging,
    experiment: str | None,
    register: str,
    console: Console,
) -> Ledger:
    """Write down the terms of a study, once everything about them has been checked.

    Raises:
        ValueError: the preset is not adversarial, or the space does not fit it.
    """
    if family_of(config.model).kind != "gan":
        raise ValueError(f"preset {preset!r} has no critic: a search for stability needs an adversarial preset")
    images = settings.images_per_trial or max(1, config.training.images // 4)
    base = override(
        config,
        {
            "training.images": images,
            "training.evaluate_every_images": max(config.training.batch_size, images // settings.evaluations),
        },
    )
    space = bind(override_dimensions(space_named(settings.space), settings.dimensions), base)
    if folder.exists(STUDY_KEY):
        raise ValueError(f"{folder.uri} already holds a study: continue it with --resume, or choose another name")
    learners = [outline(base.model, dataset.spec)]
    judging = with_shared_classifier(judging, dataset, folder, console, learners=learners)
    judge = judge_of(dataset.uri, dataset.digest, judging, torch.device("cpu"))
    terms = StudyTerms(
        settings=settings,
        judging=judging,
        confirm_images=settings.confirm_images or config.training.images,
        experiment=experiment,
        register=register,
    )
    folder.write_bytes(TERMS, to_json(terms, indent=1).encode())
    return create_ledger(
        folder,
        StudyRecord(
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            space=space,
            preset=preset,
            base_config=base.to_json(),
            data_uri=dataset.uri,
            data_digest=dataset.digest,
            searcher=settings.searcher,
            scheduler=settings.scheduler,
            num_trials=settings.num_trials or space.num_trials,
            images_per_trial=images,
            time_budget_seconds=settings.time_budget_seconds,
            seed=settings.seed,
            confirmation_seeds=tuple(
                seed_for("confirmation", settings.seed, number) % 2**31 for number in range(settings.num_seeds)
            ),
            search_split=judging.split,
            protocol=f"{judging.num_samples} samples, extractor {judging.extractor}",
            anchors=judge.anchors(),
        ),
    )
