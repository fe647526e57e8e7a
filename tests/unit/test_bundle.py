"""A bundle gives back the same model, and nothing that was cut short or edited is ever used."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gen_dist.bundle import bundle as bundle_module
from gen_dist.bundle.bundle import (
    DESCRIPTION,
    WEIGHTS,
    BundleError,
    copy_bundle,
    load_bundle,
    save_bundle,
)
from gen_dist.models.classifier.convnet import ConvNetConfig
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.gan.unconditional import UnconditionalGAN
from gen_dist.sampling.draw import draw_samples
from gen_dist.types import DataSpec

SPEC = DataSpec(channels=1, height=8, width=8, class_names=("a", "b"))
CONFIG = DCGANConfig(generator_channels=4, critic_channels=4, latent_dim=3, generator_normalization="batch")
PROVENANCE = {"run": "toy", "samples_seen": 3, "nested": {"values": [1.5, None, True]}}


@pytest.fixture
def model() -> UnconditionalGAN:
    """A generator whose running statistics are not those of a fresh one, in the memory layout of training."""
    model = CONFIG.build(SPEC)
    model.generator(model.draw_latents(32))
    return model.to(memory_format=torch.channels_last).eval()


@pytest.fixture
def directory(model: UnconditionalGAN, tmp_path: Path) -> Path:
    save_bundle(model, CONFIG, SPEC, PROVENANCE, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_loaded_model_draws_the_same_pixels(model: UnconditionalGAN, directory: Path) -> None:
    loaded = load_bundle(directory)
    assert torch.equal(loaded.sample(70, seed=5), draw_samples(model, 70, seed=5))
    assert not torch.equal(loaded.sample(70, seed=6), draw_samples(model, 70, seed=5))
    state = loaded.learner.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert (loaded.config, loaded.spec, loaded.provenance) == (CONFIG, SPEC, PROVENANCE)
    assert not loaded.learner.training


def test_loading_leaves_the_generator_of_random_numbers_alone(directory: Path) -> None:
    before = torch.get_rng_state()
    load_bundle(directory)
    assert torch.equal(torch.get_rng_state(), before)


def test_equal_contents_have_equal_digests(model: UnconditionalGAN, directory: Path, tmp_path: Path) -> None:
    digest = load_bundle(directory).digest
    assert save_bundle(model, CONFIG, SPEC, PROVENANCE, tmp_path / "again").digest == digest
    assert save_bundle(model, CONFIG, SPEC, {"run": "other"}, tmp_path / "other").digest != digest


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
def test_a_file_that_was_cut_short_is_refused_by_name(directory: Path, name: str) -> None:
    content = (directory / name).read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 2):
        (directory / name).write_bytes(content[:length])
        with pytest.raises(BundleError, match=name):
            load_bundle(directory)


def test_any_edited_byte_of_the_weights_is_refused(directory: Path) -> None:
    content = (directory / WEIGHTS).read_bytes()
    for position in (0, 9, len(content) // 2, len(content) - 1):
        (directory / WEIGHTS).write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(BundleError, match=r"weights\.safetensors was cut short or edited"):
            load_bundle(directory)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"latent_dim": 3', '"latent_dim": 4'), ('"run": "toy"', '"run": "joy"'), ('"height": 8', '"height": 16')],
)
def test_an_edited_description_is_refused(directory: Path, old: str, new: str) -> None:
    text = (directory / DESCRIPTION).read_text()
    assert old in text
    (directory / DESCRIPTION).write_text(text.replace(old, new))
    with pytest.raises(BundleError, match=r"bundle\.json was edited: its contents do not fit its digest"):
        load_bundle(directory)


def resealed(directory: Path, **changes: object) -> None:
    """Change fields as somebody would who knows how the digest is made."""
    tree = json.loads((directory / DESCRIPTION).read_text()) | changes
    (directory / DESCRIPTION).write_text(json.dumps(tree | {"digest": bundle_module._digest(tree)}))


def test_weights_that_do_not_fit_the_model_are_refused(directory: Path) -> None:
    tensors = load_file(directory / WEIGHTS)
    name, tensor = next((name, tensor) for name, tensor in tensors.items() if tensor.ndim == 4)
    for changed in (
        {key: value for key, value in tensors.items() if key != name},
        tensors | {"extra": tensor.clone()},
        tensors | {name: tensor[:1].contiguous()},
    ):
        save_file(changed, directory / WEIGHTS)
        resealed(directory, weights_sha256=bundle_module.hashlib.sha256((directory / WEIGHTS).read_bytes()).hexdigest())
        with pytest.raises(BundleError, match=r"weights\.safetensors does not fit the model in bundle\.json"):
            load_bundle(directory)


def test_another_schema_version_and_an_unknown_family_are_refused(directory: Path) -> None:
    tree = json.loads((directory / DESCRIPTION).read_text())
    resealed(directory, schema_version=2)
    with pytest.raises(BundleError, match="schema version 2, and this gen_dist reads 1"):
        load_bundle(directory)
    resealed(directory, schema_version=1, model=tree["model"] | {"family": "no-such-family"})
    with pytest.raises(BundleError, match="of another gen_dist"):
        load_bundle(directory)


def test_a_field_that_a_later_version_adds_leaves_old_bundles_valid(directory: Path) -> None:
    """A default fills what the file lacks; the digest is over what was written."""
    tree = json.loads((directory / DESCRIPTION).read_text())
    resealed(directory, model={name: value for name, value in tree["model"].items() if name != "ema_decay"})
    assert load_bundle(directory).config == CONFIG


def test_places_without_a_bundle_are_named(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere holds no bundle: there is no bundle\.json"):
        load_bundle(tmp_path / "nowhere")
    (directory / WEIGHTS).unlink()
    with pytest.raises(BundleError, match=r"weights\.safetensors is missing, so this bundle is incomplete"):
        load_bundle(directory)


def test_an_existing_bundle_is_never_overwritten(model: UnconditionalGAN, directory: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(FileExistsError, match="bundle exists already: name another directory"):
        save_bundle(model, CONFIG, SPEC, {}, directory)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert [path.name for path in directory.parent.iterdir()] == ["bundle"]


def test_a_bundle_appears_whole_or_not_at_all(
    model: UnconditionalGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(bundle_module.Path, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        save_bundle(model, CONFIG, SPEC, {}, tmp_path / "bundle")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_copy_is_the_same_bundle(directory: Path, tmp_path: Path) -> None:
    copy_bundle(directory, tmp_path / "elsewhere" / "copy")
    assert load_bundle(tmp_path / "elsewhere" / "copy").digest == load_bundle(directory).digest
    with pytest.raises(BundleError, match="holds no bundle"):
        copy_bundle(tmp_path / "nothing", tmp_path / "copy")


def test_a_model_that_can_not_draw_says_so(tmp_path: Path) -> None:
    config = ConvNetConfig(channels=(4,))
    save_bundle(config.build(SPEC), config, SPEC, {}, tmp_path / "classifier")
    with pytest.raises(ValueError, match="ConvNet can't draw images; what it can do: classifies"):
        load_bundle(tmp_path / "classifier").sample(1)
