"""Stages as arithmetic: which one a run is in, what it trains with, and how it is stretched and written down."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from gen_dist.commands.entry import split_overrides
from gen_dist.config import RunConfig, override, paths
from gen_dist.distributed.world import World
from gen_dist.presets import preset
from gen_dist.training.curriculum import Curriculum, stretched
from gen_dist.training.settings import Stage, TrainingConfig
from gen_dist.types import DataSpec, ImageBatch
from gen_dist.workflows.equal_budget import images_within, with_budget

STAGES = (
    Stage(images=100),
    Stage(images=50, batch_size=8, num_micro_batches=2, reset_optimizers=True),
    Stage(images=250, batch_size=20),
)
SETTINGS = TrainingConfig(images=400, batch_size=10, stages=STAGES)
RUN = replace(preset("dcgan-8"), training=SETTINGS)


@pytest.mark.parametrize(
    ("samples_seen", "stage", "progress"),
    [(0, 0, 0.0), (99, 0, 0.99), (100, 1, 0.0), (125, 1, 0.5), (149, 1, 0.98), (150, 2, 0.0), (400, 2, 1.0)],
)
def test_the_moment_is_a_function_of_the_images_seen(samples_seen: int, stage: int, progress: float) -> None:
    moment = Curriculum(SETTINGS).moment(round=7, samples_seen=samples_seen)
    assert (moment.round, moment.samples_seen) == (7, samples_seen)
    assert (moment.stage, moment.stages_left) == (stage, 2 - stage)
    assert moment.stage_progress == pytest.approx(progress)


def test_what_is_past_the_end_belongs_to_the_last_stage() -> None:
    moment = Curriculum(SETTINGS).moment(round=7, samples_seen=10**6)
    assert (moment.stage, moment.stages_left, moment.stage_progress) == (2, 0, 1.0)


def test_without_stages_a_run_is_one() -> None:
    curriculum = Curriculum(replace(SETTINGS, stages=()))
    moment = curriculum.moment(round=1, samples_seen=100)
    assert (moment.stage, moment.stages_left, moment.stage_progress) == (0, 0, 0.25)
    (span,) = curriculum.spans
    assert (span.start, span.images, span.batch_size, span.num_micro_batches) == (0, 400, 10, 1)


def test_a_stage_has_the_runs_settings_where_it_has_none_of_its_own() -> None:
    spans = Curriculum(SETTINGS).spans
    assert [(span.start, span.batch_size, span.num_micro_batches) for span in spans] == [
        (0, 10, 1),
        (100, 8, 2),
        (150, 20, 1),
    ]
    assert [span.micro_batch_shape for span in spans] == [(1, 10), (2, 4), (1, 20)]
    assert [Curriculum(SETTINGS).at(seen).batch_size for seen in (0, 99, 100, 149, 150, 999)] == [10, 10, 8, 8, 20, 20]


@pytest.mark.parametrize(("before", "after", "resets"), [(0, 1, True), (1, 2, False), (0, 2, True), (1, 1, False)])
def test_optimizers_start_anew_on_the_way_into_a_stage_that_asks(before: int, after: int, resets: bool) -> None:
    """Into the stage itself, or past it when one round draws all of its images."""
    assert Curriculum(SETTINGS).resets(before, after) == resets


@pytest.mark.parametrize("images", [3, 4, 7, 399, 401, 40_000, 1 << 50])
def test_stretched_stages_keep_their_shares_and_add_up(images: int) -> None:
    stages = stretched(SETTINGS, images).stages
    assert sum(stage.images for stage in stages) == images
    ends = [sum(stage.images for stage in stages[: count + 1]) for count in range(3)]
    for end, share in zip(ends, (0.25, 0.375, 1.0), strict=True):
        assert abs(end - share * images) <= (0.5 if images > 8 else 2.0)  # every stage has an image, whatever its share
    assert [replace(stage, images=1) for stage in stages] == [replace(stage, images=1) for stage in STAGES]
    if images >= 400:
        assert stretched(stretched(SETTINGS, images), 400) == SETTINGS


def test_stages_can_not_be_stretched_to_nothing() -> None:
    with pytest.raises(ValueError, match=r"training\.images is 2: each of the 3 stages needs at least one"):
        stretched(SETTINGS, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 300}, r"training\.images is 300, and the images of training\.stages add up to 400"),
        (
            {"stages": (Stage(images=0), Stage(images=400))},
            r"training\.stages\[0\]\.images is 0: it must be at least 1",
        ),
        (
            {"stages": (Stage(images=200), Stage(images=200, batch_size=-1))},
            r"training\.stages\[1\]\.batch_size is -1",
        ),
        (
            {"stages": (Stage(images=400, batch_size=9, num_micro_batches=2),)},
            r"training\.stages\[0\]\.batch_size is 9, which 2 micro-batches .* do not divide evenly",
        ),
        ({"stages": (Stage(images=400, num_micro_batches=3),)}, r"batch_size is 10, which 3 micro-batches"),
    ],
)
def test_stages_that_can_not_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **changes)


def test_every_stage_must_have_work_for_every_worker() -> None:
    wide = replace(SETTINGS, num_micro_batches=2)
    Curriculum(wide).check_workers(World(size=2))
    with pytest.raises(ValueError, match=r"2 workers cannot share 1 .* set training\.stages\[0\]\.num_micro_batches"):
        Curriculum(SETTINGS).check_workers(World(size=2))
    with pytest.raises(ValueError, match=r"4 workers .* set training\.num_micro_batches to 4"):
        Curriculum(replace(wide, stages=())).check_workers(World(size=4))


def test_a_configuration_with_stages_survives_json() -> None:
    assert RunConfig.from_json(RUN.to_json()) == RUN
    old = json.loads(RUN.to_json())
    del old["training"]["stages"]  # written before there were stages
    assert RunConfig.from_json(json.dumps(old)).training.stages == ()
    old["training"]["stages"] = [{"images": 400, "bach_size": 3}]
    with pytest.raises(ValueError, match="bach_size"):
        RunConfig.from_json(json.dumps(old))


def test_stages_are_one_leaf_that_can_be_overridden() -> None:
    assert paths(RUN)["training.stages"] == STAGES
    text = '[{"images": 300, "batch_size": 5}, {"images": 100}]'
    _, values = split_overrides(["--training.stages", text, "--training.images", "400"])
    assert override(RUN, values).training.stages == (Stage(images=300, batch_size=5), Stage(images=100))
    assert override(RUN, {"training.stages": STAGES}) == RUN
    assert override(RUN, {"training.stages": ()}).training.stages == ()


def test_an_override_of_the_length_alone_stretches_the_stages() -> None:
    assert override(RUN, {"training.images": 800}).training == stretched(SETTINGS, 800)
    with pytest.raises(ValueError, match="each of the 3 stages needs at least one"):
        override(RUN, {"training.images": 2})
    with pytest.raises(ValueError, match=r"training\.images is 0"):
        override(RUN, {"training.images": 0})


def test_a_budget_stretches_the_stages() -> None:
    assert with_budget(RUN, 800, looks=4).training.stages == stretched(SETTINGS, 800).stages
    assert with_budget(with_budget(RUN, 800, looks=4), 400, looks=4).training.stages == STAGES


class Source:
    """Black images, each of which takes as long as the stage of its batch says."""

    spec = DataSpec(channels=1, height=8, width=8)
    num_images = 100
    seconds = 0.0

    def take(self, start: int, count: int) -> ImageBatch:
        self.seconds += count * {10: 0.0625, 4: 0.25, 20: 0.125}[count]
        return ImageBatch(images=torch.zeros(count, *self.spec.shape, dtype=torch.uint8))

    def prefetch(self, start: int, count: int) -> None: ...


def test_the_measured_rate_weighs_each_stage_by_its_share() -> None:
    """Shares 1/4, 1/8 and 5/8 of 1/16, 1/4 and 1/8 of a second for each image (drawn once by each of two phases)."""
    source = Source()
    run = override(
        RUN, {"model.generator_channels": 4, "model.critic_channels": 4, "model.generator_normalization": "none"}
    )
    seconds_per_image = 2 * (0.25 * 0.0625 + 0.125 * 0.25 + 0.625 * 0.125)
    images = images_within(run, source, 640.0, device=torch.device("cpu"), clock=lambda: source.seconds)
    assert images == int(640.0 / seconds_per_image)
