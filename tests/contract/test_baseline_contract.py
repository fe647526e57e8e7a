"""What a baseline owes the loop: it is fitted in `prepare`, and everything around training treats it like any model."""

from pathlib import Path

import pytest
import torch
from contract.small_presets import MadeUpImages, everything, settings, spec_of

from gen_dist.bundle.bundle import load_bundle, save_bundle
from gen_dist.capabilities import Samples, Scores, capabilities
from gen_dist.config import RunConfig, override
from gen_dist.data.storage import open_storage
from gen_dist.evaluation.likelihood import likelihood
from gen_dist.models.table import family_of
from gen_dist.presets import PRESETS, preset
from gen_dist.sampling.draw import device_of, draw_samples
from gen_dist.training.checkpoint import read_checkpoint, restore
from gen_dist.training.checkpointing import CheckpointWriter
from gen_dist.training.fit import Keeping, fit
from gen_dist.training.training import Training

NAMES = tuple(name for name in PRESETS if family_of(preset(name).model).kind == "baseline")
SMALL = {
    "gaussian": {},
    "ppca": {"latent_dim": 5},
    "gaussian-mixture": {"num_components": 2, "max_steps": 3},
    "kernel-density": {"num_images": 70, "num_bandwidths": 4},
}


def small(name: str) -> RunConfig:
    config = preset(name)
    return override(config, {f"model.{path}": value for path, value in SMALL[family_of(config.model).name].items()})


def start(name: str) -> Training:
    return Training(small(name).model, settings(), 0, MadeUpImages(spec_of(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_survives_json_and_builds_on_the_meta_device(name: str) -> None:
    config = preset(name)
    assert RunConfig.from_json(config.to_json()) == config
    with torch.device("meta"):
        learner = config.model.build(spec_of(name))
    assert not list(learner.parameters())
    assert not learner.players
    assert not learner.phases
    assert {"samples", "scores"} <= set(capabilities(learner))
    assert (family_of(config.model).name == "ppca") == ({"encodes", "decodes"} <= set(capabilities(learner)))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_finished_when_it_is_fitted(name: str) -> None:
    training = start(name)
    result = fit(training, evaluate=lambda _learner, _moment: {"bits_per_dimension": 1.0})
    assert result.finished
    assert training.finished
    assert result.moment.samples_seen == MadeUpImages.num_images  # all there are, though a batch is 8
    assert int(training.state.learner.num_fitted) == MadeUpImages.num_images
    assert [row["samples_seen"] for row in result.history] == [64.0]
    assert len(result.evaluations) == 1


@pytest.mark.parametrize("name", NAMES)
def test_preparing_is_a_function_of_the_seed_and_the_images(name: str) -> None:
    """So every worker, which passes the same batch, fits the same model, however many there are."""
    first, again = start(name), start(name)
    torch.manual_seed(123)  # what else the process does must not matter
    first.advance()
    again.advance()
    expected, found = everything(first), everything(again)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[entry], tensor) for entry, tensor in expected.items())
    fresh = everything(start(name))
    assert all(not torch.equal(fresh[entry], tensor) for entry, tensor in expected.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_restores_the_fit(tmp_path: Path, name: str) -> None:
    fitted = start(name)
    writer = CheckpointWriter(open_storage(tmp_path), keep=2)
    fit(fitted, keeping=Keeping(writer=writer, config="{}", data_digest="d"))
    writer.close()
    assert writer.last_key is not None
    resumed = start(name)
    restore(resumed, read_checkpoint(open_storage(tmp_path), writer.last_key))
    assert resumed.finished
    expected, found = everything(fitted), everything(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[entry], tensor) for entry, tensor in expected.items())
    assert fit(resumed).history == fitted.history  # nothing is left to do


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_holds_the_fit(tmp_path: Path, name: str) -> None:
    training = start(name)
    training.advance()
    learner = training.evaluation_copy()
    config, spec = small(name), spec_of(name)
    save_bundle(learner, config.model, spec, {}, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle").learner
    assert isinstance(loaded, Samples)
    assert isinstance(loaded, Scores)
    images = MadeUpImages(spec).images[:16]
    assert likelihood(loaded, images, seed=1) == likelihood(learner, images, seed=1)
    assert torch.equal(draw_samples(loaded, 4, seed=1), draw_samples(learner, 4, seed=1))


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_images_of_the_data_and_the_same_seed_draws_them_again(name: str) -> None:
    training = start(name)
    training.advance()
    learner, spec = training.evaluation_copy(), spec_of(name)
    first = draw_samples(learner, 70, seed=1)
    assert first.shape == (70, *spec.shape)
    assert first.dtype == torch.uint8
    assert torch.equal(draw_samples(learner, 70, seed=1), first)
    assert not torch.equal(draw_samples(learner, 70, seed=2), first)
    with pytest.raises(ValueError, match="unconditional"):
        learner.sample(2, condition=torch.zeros(2))


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_and_float64_leave_the_fit_as_it_is(name: str) -> None:
    plain = start(name)
    plain.advance()
    other = Training(small(name).model, settings(channels_last=True), 0, MadeUpImages(spec_of(name)))
    other.state.learner.double()
    other.advance()
    expected, found = everything(plain), everything(other)
    assert all(torch.equal(found[entry], tensor) for entry, tensor in expected.items())


def test_the_device_of_a_model_without_parameters_is_that_of_its_buffers() -> None:
    with torch.device("meta"):
        learner = preset("gaussian-8").model.build(spec_of("gaussian-8"))
    assert device_of(learner) == torch.device("meta")


def test_too_few_images_are_refused() -> None:
    for name, least, message in (
        ("gaussian-mixture-8", 1, "no more than the 1 images"),
        ("kernel-density-8", 1, "leaving one of several out"),
    ):
        stream = MadeUpImages(spec_of(name))
        stream.num_images = least
        training = Training(small(name).model, settings(), 0, stream)
        with pytest.raises(ValueError, match=message):
            training.advance()
