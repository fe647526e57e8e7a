"""Comparisons: which presets compete, budgets that stretch schedules, and tables that hide no failure."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from gen_dist.capabilities import LikelihoodKind
from gen_dist.commands.import_ import import_dataset
from gen_dist.config import override
from gen_dist.data.storage import open_storage
from gen_dist.evaluation.protocol import EvaluationProtocol, EvaluationRecord
from gen_dist.presets import PRESETS, preset
from gen_dist.training.training import Diverged
from gen_dist.types import DataSpec, ImageBatch
from gen_dist.workflows import compared_run
from gen_dist.workflows.comparison import (
    Comparison,
    Entrant,
    Entry,
    create_comparison,
    open_comparison,
    read_entries,
    unfinished,
    write_entry,
    write_samples,
)
from gen_dist.workflows.comparison_report import MARKDOWN, PARQUET, SHEET, write_report
from gen_dist.workflows.competing_presets import chosen_presets, fits_data
from gen_dist.workflows.equal_budget import images_within, with_budget
from gen_dist.workflows.job import Judging

SPEC = DataSpec(channels=1, height=8, width=8, class_names=("a", "b"))
TERMS = Comparison(
    name="c",
    presets=("vae-8", "realnvp-8", "rbm-8", "dcgan-8"),
    data="/data/digits",
    data_digest="d",
    judging=Judging(),
    budget_seconds=60.0,
    budget_images=None,
)


def record(kind: LikelihoodKind | None, **metrics: float) -> str:
    protocol = EvaluationProtocol(
        extractor="random", extractor_digest="abcdefghij", dataset_digest="d", split="test", num_reference=100,
        num_samples=50, num_scored=50, ema=True,
    )  # fmt: skip
    anchors = {"frechet_distance_real": 0.25, "frechet_distance_gaussian": 9.5}
    return EvaluationRecord(protocol=protocol, metrics=metrics, anchors=anchors, likelihood_kind=kind).to_json()


ENTRIES = {
    "vae-8": Entry(
        preset="vae-8", state="finished", parameters=1234, images=5000, training_seconds=2.0, sampling_seconds=0.5,
        sampled=64, selected_images=3000,
        evaluation=record("lower bound", bits_per_dimension=2.5, bits_per_dimension_error=0.1),
    ),
    "realnvp-8": Entry(
        preset="realnvp-8", state="finished",
        evaluation=record("lower bound", bits_per_dimension=2.25, bits_per_dimension_error=0.1, frechet_distance=1.5),
    ),
    "rbm-8": Entry(
        preset="rbm-8", state="finished",
        evaluation=record("estimate", nats=17.0, nats_error=0.3, log_partition_error=0.4),
    ),
    "dcgan-8": Entry(preset="dcgan-8", state="diverged", error="critic diverged in round 3: gradient of critic.0"),
}  # fmt: skip


def test_without_names_all_presets_of_the_images_size_compete() -> None:
    chosen = chosen_presets((), SPEC)
    assert {"vae-8", "dcgan-8", "pixelcnn-8"} <= set(chosen)
    assert not {"convnet-8", "autoencoder-8"} & set(chosen)  # they draw and score nothing
    assert all(name.endswith("-8") for name in chosen)
    earlier = {row.foundation for row in PRESETS.values()} - {None}
    assert not earlier & set(chosen)  # a first stage competes as a part of its second
    with pytest.raises(ValueError, match="no preset is made for 9x9 images"):
        chosen_presets((), DataSpec(channels=1, height=9, width=9))


def test_without_labels_only_presets_that_need_none_compete() -> None:
    unlabelled = replace(SPEC, class_names=())
    conditional = {"gated-pixelcnn-conditional-8", "cgan-8", "acgan-8", "projection-gan-8", "biggan-8"}
    assert set(chosen_presets((), SPEC)) - set(chosen_presets((), unlabelled)) == conditional
    with pytest.raises(ValueError, match=r"preset gated-pixelcnn-conditional-8 does not suit .* without labels"):
        fits_data("gated-pixelcnn-conditional-8", unlabelled)


def test_names_and_patterns_choose_in_order_and_once() -> None:
    assert chosen_presets(("vae-8", "realnvp-?", "vae-8"), SPEC) == ("vae-8", "realnvp-8")
    with pytest.raises(ValueError, match="no preset is called 'glove-\\*'"):
        chosen_presets(("glove-*",), SPEC)


def test_a_budget_is_time_or_images() -> None:
    with pytest.raises(ValueError, match="either a time budget or a number of images"):
        replace(TERMS, budget_images=100)
    with pytest.raises(ValueError, match="either a time budget or a number of images"):
        replace(TERMS, budget_seconds=None)


def test_passes_over_the_data_are_limited_to_something() -> None:
    with pytest.raises(ValueError, match=r"max_epochs is 0\.0: it must be positive"):
        replace(TERMS, max_epochs=0.0)


def test_a_budget_is_more_than_nothing() -> None:
    with pytest.raises(ValueError, match="budget_images is -5: it must be positive"):
        replace(TERMS, budget_seconds=None, budget_images=-5)


def test_a_budget_stretches_what_is_scheduled_by_images() -> None:
    config = override(preset("vae-8"), {"model.schedule.warmup_images": 600, "model.schedule.decay_end_images": 60_000})
    half = with_budget(config, config.training.images // 2, looks=4)
    assert half.training.images == config.training.images // 2
    assert half.training.evaluate_every_images == config.training.images // 8
    schedule = half.model.schedule
    assert (schedule.warmup_images, schedule.decay_end_images) == (300, 30_000)
    assert half.model.hidden == config.model.hidden
    assert with_budget(half, config.training.images, looks=1).model == config.model


class Source:
    """Black images, counted."""

    spec = SPEC
    num_images = 100
    drawn = 0

    def take(self, start: int, count: int) -> ImageBatch:
        self.drawn += count
        return ImageBatch(images=torch.zeros(count, *SPEC.shape, dtype=torch.uint8))

    def prefetch(self, start: int, count: int) -> None: ...


@pytest.mark.parametrize("length", [160_000, 12])
def test_the_measured_rate_fills_the_time_however_long_the_preset_is(length: int) -> None:
    """By a clock that moves a tenth of a second for every image drawn, an image takes so long."""
    source, ticks = Source(), itertools.count()

    def clock() -> float:
        assert next(ticks) < 1000, "the measurement does not end"
        return 0.1 * source.drawn

    config = override(preset("vae-8"), {"training.batch_size": 4, "training.images": length})
    assert images_within(config, source, 80.0, device=torch.device("cpu"), clock=clock) == 800


def test_baselines_are_not_fitted_to_measure_them() -> None:
    source = Source()
    config = preset("gaussian-8")
    assert images_within(config, source, 80.0, device=torch.device("cpu")) == config.training.images
    assert source.drawn == 0


def test_the_table_orders_by_likelihood_and_names_failures(tmp_path: Path) -> None:
    folder = open_storage(tmp_path)
    write_samples(folder, "vae-8", torch.zeros(3, 1, 8, 8, dtype=torch.uint8))
    report = write_report(folder, TERMS, list(ENTRIES.values()))
    assert [standing.preset for standing in report.standings] == ["realnvp-8", "vae-8", "rbm-8", "dcgan-8"]
    lines = report.text.splitlines()
    first = next(line for line in lines if line.startswith("| realnvp-8"))
    assert "2.250 ± 0.100" in first
    assert "lower bound" in first
    second = next(line for line in lines if line.startswith("| vae-8"))
    assert "| 1,234 | 5,000 | 3,000 | 2 | 2,500 | 128.0 |" in second
    assert "| 17.0 ± 0.5 | estimate |" in next(line for line in lines if line.startswith("| rbm-8"))
    assert "- dcgan-8 diverged: critic diverged in round 3: gradient of critic.0" in lines
    assert any(line.startswith("| *real images* |") and "0.250" in line for line in lines)
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    table = pq.read_table(tmp_path / PARQUET).to_pylist()
    assert [row["preset"] for row in table] == [standing.preset for standing in report.standings]
    assert {row["seed"] for row in table} == {0}
    assert table[0]["bits_per_dimension"] == 2.25
    assert table[3]["error"] == ENTRIES["dcgan-8"].error
    assert math.isclose(table[1]["sampling_images_per_second"], 128.0)
    assert report.sheet is not None
    assert (tmp_path / SHEET).exists()
    assert (tmp_path / MARKDOWN).read_text() == report.text


def test_failed_presets_are_tried_again_and_finished_or_diverged_ones_are_not(tmp_path: Path) -> None:
    folder = open_storage(tmp_path)
    create_comparison(folder, TERMS)
    assert open_comparison(folder) == TERMS
    with pytest.raises(ValueError, match="there is a comparison in"):
        create_comparison(folder, TERMS)
    write_entry(folder, ENTRIES["vae-8"])
    write_entry(folder, ENTRIES["dcgan-8"])
    write_entry(folder, Entry(preset="rbm-8", state="failed", error="no room"))
    assert ENTRIES["vae-8"] in read_entries(folder, TERMS)
    assert unfinished(folder, TERMS) == [Entrant("realnvp-8"), Entrant("rbm-8")]


def test_a_folder_without_a_comparison_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no comparison in .*nowhere"):
        open_comparison(open_storage(tmp_path / "nowhere"))


def test_a_preset_that_diverges_while_its_speed_is_measured_has_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying it again, as is done with failures, would end alike."""

    def diverging(*_arguments: object, **_settings: object) -> int:
        raise Diverged(phase="bound", player="model", round=1, repeat=0, tensor="output of decoder")

    import_dataset("digits", str(tmp_path / "digits"))
    monkeypatch.setattr(compared_run, "images_within", diverging)
    terms = replace(TERMS, data=str(tmp_path / "digits"))
    folder = open_storage(tmp_path / "c")
    entry = compared_run.ComparedRun(folder, terms, Entrant("vae-8", 4), device=torch.device("cpu")).run()
    assert (entry.state, entry.entrant) == ("diverged", Entrant("vae-8", 4))
    assert "model diverged in phase 'bound'" in str(entry.error)
