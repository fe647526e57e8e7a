"""Comparisons over several seeds: which runs there are, and a table of means, deviations and shares of failed runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

from gen_dist.commands.import_ import import_dataset
from gen_dist.data.storage import Storage, open_storage
from gen_dist.distributed.world import World
from gen_dist.evaluation.protocol import EvaluationProtocol, EvaluationRecord
from gen_dist.workflows import compared_run
from gen_dist.workflows.comparison import (
    Comparison,
    Entrant,
    Entry,
    create_comparison,
    read_entries,
    unfinished,
    write_entry,
    write_samples,
)
from gen_dist.workflows.comparison_progress import describe, summary
from gen_dist.workflows.comparison_report import PARQUET, Report, write_report
from gen_dist.workflows.job import Judging, RunJob, RunResult

SINGLE = Comparison(
    name="c",
    presets=("dcgan-8", "vae-8", "wgan-gp-8"),
    data="/data/digits",
    data_digest="d",
    judging=Judging(),
    budget_seconds=None,
    budget_images=1000,
    seed=7,
)
TERMS = replace(SINGLE, num_seeds=3)
NUM_BITS = (2.5, 2.25, 3.0)
DISTANCES = {"dcgan-8": (1.5, 4.25), "vae-8": (8.0, 9.0, 7.125)}


def record(**metrics: float) -> str:
    protocol = EvaluationProtocol(
        extractor="random", extractor_digest="abcdefghij", dataset_digest="d", split="test", num_reference=100,
        num_samples=50, num_scored=50, ema=True,
    )  # fmt: skip
    kind = "lower bound" if "bits_per_dimension" in metrics else None
    anchors = {"frechet_distance_real": 0.25}
    notes = ("a note",)
    return EvaluationRecord(
        protocol=protocol, metrics=metrics, anchors=anchors, likelihood_kind=kind, notes=notes
    ).to_json()  # fmt: skip


def made_up_entries() -> list[Entry]:
    """All VAEs finish, one of three DCGANs diverges and no WGAN gets far."""
    finished = {"state": "finished", "parameters": 1234, "training_seconds": 2.0}
    vaes = [
        Entry(
            preset="vae-8", seed=7 + place, images=1000 + place, updates=30 + 2 * place, **finished,
            evaluation=record(bits_per_dimension=bits, bits_per_dimension_error=0.75, frechet_distance=distance),
        )
        for place, (bits, distance) in enumerate(zip(NUM_BITS, DISTANCES["vae-8"], strict=True))
    ]  # fmt: skip
    gans = [
        Entry(preset="dcgan-8", seed=seed, images=500, updates=20, **finished, evaluation=record(frechet_distance=far))
        for seed, far in zip((7, 9), DISTANCES["dcgan-8"], strict=True)
    ]
    lost = Entry(preset="dcgan-8", seed=8, state="diverged", error="critic diverged in round 3", images=90, updates=9)
    failed = [Entry(preset="wgan-gp-8", seed=seed, state="failed", error="no room") for seed in TERMS.seeds]
    return [*failed, lost, *reversed(vaes), *gans]


@pytest.fixture
def folder(tmp_path: Path) -> Storage:
    return open_storage(tmp_path)


@pytest.fixture
def report(folder: Storage) -> Report:
    for seed in (8, 9):
        write_samples(folder, f"vae-8.seed-{seed}", torch.full((3, 1, 8, 8), 10 * seed, dtype=torch.uint8))
    return write_report(folder, TERMS, made_up_entries())


def cells(report: Report, name: str) -> dict[str, str]:
    """A row of the Markdown table by title."""
    lines = [line.strip("| ").split(" | ") for line in report.text.splitlines() if line.startswith("| ")]
    padded = {line[0]: [cell.strip() for cell in line] for line in lines}
    return dict(zip(padded["preset"], padded[name], strict=False))


def mean_and_deviation(values: tuple[float, ...], how: str = ".3f") -> str:
    return f"{np.mean(values):{how}} ± {np.std(values, ddof=1):{how}}"


def test_one_seed_leaves_all_names_as_they_are() -> None:
    assert [(entrant.name, entrant.title) for entrant in SINGLE.entrants] == [(name, name) for name in SINGLE.presets]


def test_several_seeds_are_so_many_runs_of_each_preset_one_seed_after_the_other() -> None:
    assert list(TERMS.seeds) == [7, 8, 9]
    assert [entrant.name for entrant in TERMS.entrants[:4]] == [
        "dcgan-8.seed-7", "vae-8.seed-7", "wgan-gp-8.seed-7", "dcgan-8.seed-8",
    ]  # fmt: skip
    assert len({entrant.name for entrant in TERMS.entrants}) == 9
    assert TERMS.entrants[3].title == "dcgan-8 seed 8"
    with pytest.raises(ValueError, match="num_seeds is 0: each preset trains at least once"):
        replace(TERMS, num_seeds=0)


def test_the_table_has_means_and_sample_deviations_of_the_runs_that_finished(report: Report) -> None:
    vae, gan = cells(report, "vae-8"), cells(report, "dcgan-8")
    assert vae["bits/dim"] == mean_and_deviation(NUM_BITS)  # 0.75, the standard error, is not in it
    assert vae["Fréchet distance"] == mean_and_deviation(DISTANCES["vae-8"])
    assert (vae["likelihood"], vae["images"], vae["updates"]) == ("lower bound", "1,001", "32")
    assert gan["Fréchet distance"] == mean_and_deviation(DISTANCES["dcgan-8"])
    assert (gan["images"], gan["updates"]) == ("500", "20")
    assert gan["bits/dim"] == ""
    assert cells(report, "*real images*")["Fréchet distance"] == "0.250"
    assert "seeds 7 to 9" in report.text
    assert "sample standard deviation over the seeds (not the standard error over images)" in report.text


def test_the_table_has_the_share_of_runs_that_finished_and_says_why_others_did_not(report: Report) -> None:
    assert [standing.preset for standing in report.standings] == ["vae-8", "dcgan-8", "wgan-gp-8"]
    shares = {name: cells(report, name)["finished"] for name in TERMS.presets}
    assert shares == {"vae-8": "3/3", "dcgan-8": "2/3", "wgan-gp-8": "0/3"}
    assert "- dcgan-8 seed 8 diverged: critic diverged in round 3" in report.text.splitlines()
    assert report.text.count("- wgan-gp-8 seed") == 3
    assert report.text.count("- vae-8: a note") == 1


def test_class_accuracy_has_a_column_where_a_model_draws_for_classes(folder: Storage, report: Report) -> None:
    assert "class accuracy" not in cells(report, "vae-8")
    entries = made_up_entries()
    figures = EvaluationRecord.from_json(str(entries[-1].evaluation))
    asked = replace(
        figures, metrics=figures.metrics | {"class_accuracy": 0.75}, anchors={"class_accuracy_real": 0.875}
    ).to_json()
    again = write_report(folder, TERMS, [*entries[:-1], replace(entries[-1], evaluation=asked)])
    assert cells(again, "dcgan-8")["class accuracy"] == "0.750"
    assert cells(again, "vae-8")["class accuracy"] == ""
    assert cells(again, "*real images*")["class accuracy"] == "0.875"
    assert cells(again, "*real images*")["Fréchet distance"] == "0.250"


def test_translators_stand_beside_their_sources_untranslated(folder: Storage, report: Report) -> None:
    assert "sources, untranslated" not in report.text
    entries = made_up_entries()
    figures = EvaluationRecord.from_json(str(entries[-1].evaluation))
    translated = replace(
        figures, metrics=figures.metrics | {"l1": 12.5}, anchors=figures.anchors | {"l1_untranslated": 80.0}
    ).to_json()
    again = write_report(folder, TERMS, [*entries[:-1], replace(entries[-1], evaluation=translated)])
    assert float(cells(again, "dcgan-8")["L1"]) == 12.5
    assert float(cells(again, "*sources, untranslated*")["L1"]) == 80.0
    assert cells(again, "*real images*").get("L1", "") == ""


def test_of_a_single_finished_run_there_is_no_deviation(folder: Storage) -> None:
    entries = [entry for entry in made_up_entries() if entry.seed != 9]
    assert cells(write_report(folder, TERMS, entries), "dcgan-8")["Fréchet distance"] == "1.500"


def test_programs_get_one_row_per_run(folder: Storage, report: Report, tmp_path: Path) -> None:
    rows = pq.read_table(tmp_path / PARQUET).to_pylist()
    assert [(row["preset"], row["seed"]) for row in rows] == [
        (standing.preset, seed) for standing in report.standings for seed in TERMS.seeds
    ]
    assert [row["bits_per_dimension"] for row in rows[:3]] == list(NUM_BITS)
    single = replace(made_up_entries()[-1], seed=None)
    write_report(folder, SINGLE, [single])
    assert pq.read_table(tmp_path / PARQUET).to_pylist()[0]["seed"] == 7


def test_the_page_shows_the_first_seed_that_has_samples(report: Report) -> None:
    assert report.sheet is not None
    shades = {shade for _, shade in report.sheet.convert("L").getcolors() or []}
    assert 80 in shades
    assert 90 not in shades


def test_only_runs_without_an_end_are_left(folder: Storage) -> None:
    create_comparison(folder, TERMS)
    assert unfinished(folder, TERMS) == list(TERMS.entrants)
    for entry in made_up_entries():
        if entry.entrant != Entrant("vae-8", 8):
            write_entry(folder, entry)
    assert unfinished(folder, TERMS) == [
        Entrant("wgan-gp-8", 7), Entrant("vae-8", 8), Entrant("wgan-gp-8", 8), Entrant("wgan-gp-8", 9),
    ]  # fmt: skip
    assert len(read_entries(folder, TERMS)) == 8


def test_people_see_preset_and_seed(report: Report) -> None:
    entries = {entry.entrant: entry for entry in made_up_entries()}
    assert describe(entries[Entrant("vae-8", 8)]).startswith("vae-8 seed 8: 2.25 bits/dim")
    assert describe(entries[Entrant("dcgan-8", 8)]) == "dcgan-8 seed 8: diverged, critic diverged in round 3"
    console = Console(width=200)
    with console.capture() as captured:
        console.print(summary(report.standings))
    (line,) = [line for line in captured.get().splitlines() if " dcgan-8 " in line]
    assert "2/3" in line
    assert mean_and_deviation(DISTANCES["dcgan-8"], ".4g") in line


def test_each_run_has_its_own_seed_folder_and_tags(
    folder: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same protocol, whose own seed does not follow the run's."""
    jobs: list[RunJob] = []

    def work(job: RunJob, *, world: World, **_settings: object) -> RunResult:
        assert world.size == 1
        jobs.append(job)
        return RunResult(name=job.name, finished=True)

    import_dataset("digits", str(tmp_path / "digits"))
    monkeypatch.setattr(compared_run, "work", work)
    terms = replace(TERMS, data=str(tmp_path / "digits"), experiment="e")
    for entrant in (Entrant("vae-8", 7), Entrant("vae-8", 8)):
        compared_run.ComparedRun(folder, terms, entrant, device=torch.device("cpu")).run()
    assert [(job.name, job.config.seed, job.tags) for job in jobs] == [
        (f"vae-8.seed-{seed}", seed, {"preset": "vae-8", "seed": str(seed)}) for seed in (7, 8)
    ]
    assert jobs[0].judging == jobs[1].judging
    assert replace(jobs[0].config, seed=8) == jobs[1].config
