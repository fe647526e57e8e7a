"""Selection: the model that finds validation images most probable is kept, also over a restart."""

import math
from pathlib import Path

import pytest
import torch

from gen_dist.bundle.bundle import load_bundle
from gen_dist.commands.import_ import import_dataset
from gen_dist.config import RunConfig, override
from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.distributed.world import World
from gen_dist.evaluation.likelihood import likelihood
from gen_dist.learner import Learner
from gen_dist.models.boltzmann.rbm import RBM
from gen_dist.presets import preset
from gen_dist.types import Moment
from gen_dist.workflows.job import Judging, RunJob, create_run
from gen_dist.workflows.run import work
from gen_dist.workflows.selection import NUM_SCORED, SEED, Selection


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    import_dataset("digits", str(tmp_path / "digits"))
    return open_dataset(str(tmp_path / "digits"))


def job_of(dataset: Dataset, tmp_path: Path, config: RunConfig) -> RunJob:
    return RunJob(
        name="run", runs=str(tmp_path / "runs"), config=config, data=dataset.uri, data_digest=dataset.digest,
        judging=Judging(extractor="random", num_samples=50, num_scored=50, select=True),
    )  # fmt: skip


def gaussian_like(config: RunConfig, dataset: Dataset, scale: float) -> Learner:
    """A VAE whose validation figure gets worse with the scale of its weights."""
    torch.manual_seed(0)
    learner = config.model.build(dataset.spec).eval()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.mul_(scale)
    return learner


def test_the_best_of_several_models_is_kept_over_a_restart(dataset: Dataset, tmp_path: Path) -> None:
    config = override(preset("vae-8"), {"model.importance_samples": 1})
    job = job_of(dataset, tmp_path, config)
    models = {images: gaussian_like(config, dataset, scale) for images, scale in ((100, 3.0), (200, 1.0), (300, 5.0))}
    figures = {}
    for images, model in models.items():
        row = Selection(job, dataset).consider(model, Moment(samples_seen=images))  # anew: as after a restart
        assert row is not None
        figures[images] = row["validation_bits_per_dimension"]
    assert min(figures, key=lambda images: figures[images]) == 200
    selection = Selection(job, dataset)
    assert selection.images_of_best == 200
    chosen = selection.chosen(models[300])
    expected = models[200].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in chosen.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "runs" / "run" / "best").iterdir()) == ["000000000200"]
    pointer = tmp_path / "runs" / "run" / "best.json"
    pointer.write_bytes(b"\xff" + pointer.read_bytes())
    with pytest.raises(ValueError, match=r"runs/run/best\.json is damaged .*delete it"):
        assert selection.best


def test_a_model_that_cannot_score_is_judged_as_it_ends(dataset: Dataset, tmp_path: Path) -> None:
    config = preset("dcgan-8")
    selection = Selection(job_of(dataset, tmp_path, config), dataset)
    last = config.model.build(dataset.spec)
    assert selection.consider(last, Moment(samples_seen=1)) is None
    assert selection.chosen(last) is last
    assert selection.images_of_best is None


def test_a_run_keeps_the_model_of_its_best_look(dataset: Dataset, tmp_path: Path) -> None:
    """What was looked at is in the result, and the bundle holds the model of the best look."""
    changes = {
        "model.optimizer.learning_rate": 0.03,
        "model.importance_samples": 1,
        "training.images": 3200,
        "training.rounds_per_report": 5,
        "training.evaluate_every_images": 640,
    }
    job = job_of(dataset, tmp_path, override(preset("vae-8"), changes))
    create_run(job)
    result = work(job, world=World(), device=torch.device("cpu"))
    assert result.finished
    name = "validation_bits_per_dimension"
    looks = {row["samples_seen"]: row[name] for row in result.evaluations if name in row}
    assert len(looks) == 5
    best = min(looks, key=lambda images: looks[images])
    assert result.selected_images == best
    assert result.bundle is not None
    images = dataset.read("validation", limit=NUM_SCORED).images
    scored = likelihood(load_bundle(result.bundle).learner, images, seed=SEED)
    assert scored is not None
    assert scored.metrics["bits_per_dimension"] == pytest.approx(looks[best], rel=1e-6)


def test_a_model_whose_figure_is_no_number_is_never_the_best(dataset: Dataset, tmp_path: Path) -> None:
    config = override(preset("vae-8"), {"model.importance_samples": 1})
    selection = Selection(job_of(dataset, tmp_path, config), dataset)
    for images, scale in ((100, math.nan), (200, 1.0)):
        selection.consider(gaussian_like(config, dataset, scale), Moment(samples_seen=images))
    assert selection.images_of_best == 200


def test_the_chosen_model_has_a_partition_function_that_played_no_part_in_the_choice(
    dataset: Dataset, tmp_path: Path
) -> None:
    """The lowest of several noisy figures would be too low; the new estimate is the same each time it is asked for."""
    config = override(preset("rbm-8"), {"model.partition_steps": 10, "model.partition_chains": 5})
    selection = Selection(job_of(dataset, tmp_path, config), dataset)
    learner = config.model.build(dataset.spec)
    assert isinstance(learner, RBM)
    learner.log_partition.fill_(-100.0)
    learner.log_partition_deviation.fill_(0.1)
    selection.consider(learner, Moment(samples_seen=100))
    chosen, again = selection.chosen(learner), selection.chosen(learner)
    assert isinstance(chosen, RBM)
    assert isinstance(again, RBM)
    exact = (64 + learner.config.num_hidden) * math.log(2.0)  # of weights near 0
    assert float(chosen.log_partition) == pytest.approx(exact, rel=0.05)
    assert torch.equal(chosen.log_partition, again.log_partition)
