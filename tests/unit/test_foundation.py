"""The second run of a two-stage family: what it takes from the first one's bundle, and when it needs it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor

from gen_dist.bundle.bundle import BundleError, load_bundle, save_bundle
from gen_dist.commands.train import train
from gen_dist.config import RunConfig
from gen_dist.data.dataset import Dataset
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.distributed.world import World
from gen_dist.models.composed.code_prior import CodePrior, CodePriorConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.optimization import Adam
from gen_dist.training.fit import Request
from gen_dist.training.settings import TrainingConfig
from gen_dist.training.training import Training
from gen_dist.types import DataSpec
from gen_dist.workflows.foundation import set_out, with_foundation
from gen_dist.workflows.job import RunJob, RunResult, create_run, open_run
from gen_dist.workflows.run import work

CPU = torch.device("cpu")
FIRST = VQVAEConfig(hidden=8, num_stages=1, num_residual_blocks=1, residual_hidden=4, num_codes=6, code_dim=3)
SECOND = RunConfig(
    model=CodePriorConfig(
        embedding_dim=4,
        features=6,
        num_blocks=1,
        output_features=6,
        ema_decay=0.9,
        optimizer=Adam(learning_rate=1e-2, weight_decay=0.1),
    ),
    training=TrainingConfig(images=96, batch_size=8, rounds_per_report=2, checkpoint_every_images=32, num_threads=1),
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return import_source(DigitsSource(), tmp_path_factory.mktemp("data") / "digits", ImportOptions()).dataset


@pytest.fixture
def first(digits: Dataset, tmp_path: Path) -> Path:
    """A bundle of a VQ-VAE."""
    save_bundle(FIRST.build(digits.spec), FIRST, digits.spec, {}, tmp_path / "first")
    return tmp_path / "first"


def job_of(config: RunConfig, digits: Dataset, runs: Path) -> RunJob:
    job = RunJob(name="second", runs=str(runs), config=config, data=digits.uri, data_digest=digits.digest)
    create_run(job)
    return job


def go(job: RunJob, *, stop_after: int | None = None) -> RunResult:
    polls = iter(range(10_000))
    ask = lambda: Request.STOP if stop_after is not None and next(polls) >= stop_after else Request.NOTHING  # noqa: E731
    return work(job, world=World(device=CPU), device=CPU, ask=ask, console=Console(quiet=True))


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_run_is_created_with_the_bundle_s_own_description(digits: Dataset, first: Path) -> None:
    config = with_foundation(replace(SECOND, foundation=str(first)), digits.spec)
    assert isinstance(config.model, CodePriorConfig)
    assert config.model.foundation == FIRST != SECOND.model.foundation
    assert RunConfig.from_json(config.to_json()) == config


def test_only_the_prior_moves_and_every_copy_of_the_run_holds_the_foundation(
    digits: Dataset, first: Path, tmp_path: Path
) -> None:
    """Weight decay and averages leave the first model's weights alone, and it is in evaluation mode all the while."""
    config = with_foundation(replace(SECOND, foundation=str(first)), digits.spec)
    stream = digits.stream("train", seed=0)
    training = Training(config.model, config.training, 0, stream)
    set_out(training, config, None)
    foundation = load_bundle(first).learner.state_dict()
    learner = training.state.learner
    assert isinstance(learner, CodePrior)
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    for _ in range(3):
        training.advance()
    assert not learner.foundation.training
    assert learner.training
    assert_equal(learner.foundation.state_dict(), foundation)
    moved = {name for name, tensor in learner.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if not name.startswith("foundation.")}
    assert not [name for name in training.state.ema.weights if name.startswith("foundation.")]
    given = {
        id(parameter) for group in training.state.optimizers["model"].param_groups for parameter in group["params"]
    }
    assert not given & {id(parameter) for parameter in learner.foundation.parameters()}
    copy = training.evaluation_copy()
    stream.close()
    assert isinstance(copy, CodePrior)
    assert_equal(copy.foundation.state_dict(), foundation)


def test_checkpoints_and_the_bundle_need_no_foundation_any_more(digits: Dataset, first: Path, tmp_path: Path) -> None:
    config = with_foundation(replace(SECOND, foundation=str(first)), digits.spec)
    foundation = load_bundle(first).learner.state_dict()
    whole = go(job_of(config, digits, tmp_path / "whole"))
    job = job_of(config, digits, tmp_path / "runs")
    stopped = go(job, stop_after=2)
    assert not stopped.finished
    assert stopped.samples_seen > 0
    shutil.rmtree(first)
    resumed = go(open_run(str(tmp_path / "runs"), "second"))
    assert resumed.finished
    assert resumed.bundle is not None
    assert whole.bundle is not None
    bundle = load_bundle(resumed.bundle)
    assert_equal(bundle.learner.state_dict(), load_bundle(whole.bundle).learner.state_dict())
    assert isinstance(bundle.learner, CodePrior)
    assert_equal(bundle.learner.foundation.state_dict(), foundation)
    assert bundle.sample(3, seed=1).shape == (3, 1, 8, 8)


def test_a_run_killed_before_its_first_checkpoint_says_that_the_bundle_is_gone(
    digits: Dataset, first: Path, tmp_path: Path
) -> None:
    job = job_of(with_foundation(replace(SECOND, foundation=str(first)), digits.spec), digits, tmp_path / "runs")
    shutil.rmtree(first)
    with pytest.raises(BundleError, match="holds no bundle"):
        go(job)


def test_what_does_not_fit_is_refused_by_name(digits: Dataset, first: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"vqvae-prior builds on another model: train that first.*vqvae-8.*--foundation"
    ):
        with_foundation(SECOND, digits.spec)
    other = DataSpec(channels=1, height=28, width=28)
    with pytest.raises(ValueError, match=r"trained on 1 x 8 x 8 images .*this run's data has 1 x 28 x 28"):
        with_foundation(replace(SECOND, foundation=str(first)), other)
    alone = RunConfig(model=FIRST, training=SECOND.training)
    assert with_foundation(alone, digits.spec) == alone
    with pytest.raises(ValueError, match="vqvae builds on no other model"):
        with_foundation(replace(alone, foundation=str(first)), digits.spec)
    config = with_foundation(replace(SECOND, foundation=str(first)), digits.spec)
    save_bundle(config.model.build(digits.spec), config.model, digits.spec, {}, tmp_path / "prior")
    with pytest.raises(ValueError, match=r"holds a model of the family vqvae-prior: vqvae-prior builds on vqvae,"):
        with_foundation(replace(SECOND, foundation=str(tmp_path / "prior")), digits.spec)


def test_another_model_than_the_run_was_created_with_is_refused(digits: Dataset, first: Path, tmp_path: Path) -> None:
    """Weights of the same shapes but another meaning would go unnoticed."""
    changed = replace(FIRST, decoder="discretised-logistic", codebook_decay=0.5)
    save_bundle(changed.build(digits.spec), changed, digits.spec, {}, tmp_path / "changed")
    config = with_foundation(replace(SECOND, foundation=str(first)), digits.spec)
    job = job_of(replace(config, foundation=str(tmp_path / "changed")), digits, tmp_path / "runs")
    with pytest.raises(ValueError, match=r"another model than model\.foundation describes"):
        go(job)


def test_the_command_takes_the_bundle_and_refuses_to_change_what_is_in_it(
    digits: Dataset, first: Path, tmp_path: Path
) -> None:
    sizes = {f"model.{name}": 4 for name in ("embedding_dim", "features", "output_features")}
    small = {**sizes, "model.num_blocks": 0, "training.images": 64, "training.batch_size": 32}

    def start(**options: object) -> None:
        train(
            "vqvae-prior-8", data=digits.uri, runs=str(tmp_path), name="prior", track=False, evaluate=False, **options
        )  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=r"--model\.foundation\.num_codes can't be set"):
        start(foundation=str(first), overrides={"model.foundation.num_codes": 3})
    start(foundation=str(first), overrides=small)
    assert load_bundle(tmp_path / "prior" / "bundle").config.foundation == FIRST  # type: ignore[union-attr]
