"""Probes: which weights move, which images they see, and what the figures say."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gen_dist.bundle.bundle import load_bundle, save_bundle
from gen_dist.commands.probe import probe as command
from gen_dist.data.dataset import Dataset
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.models.classifier.probe import ProbeClassifier, ProbeConfig
from gen_dist.models.composed.code_prior import CodePriorConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.vae.vqvae import VQVAEConfig
from gen_dist.optimization import Adam
from gen_dist.serialization import from_json
from gen_dist.training.fit import train_to_end
from gen_dist.training.settings import TrainingConfig
from gen_dist.types import DataSpec, ImageBatch
from gen_dist.workflows.probe import LabelledImages, ProbeReport, ProbeSettings, probe

VQVAE = VQVAEConfig(hidden=8, num_stages=1, num_residual_blocks=0, residual_hidden=4, num_codes=6, code_dim=3)
PLAIN = RealNVPConfig(hidden=8)  # a bijection: its latents hold all that the pixels hold


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return import_source(DigitsSource(), tmp_path_factory.mktemp("data") / "digits", ImportOptions()).dataset


def bundle_at(folder: Path, config: Any, spec: DataSpec) -> Path:
    save_bundle(config.build(spec), config, spec, {}, folder)
    return folder


def few(dataset: Dataset, num: int) -> LabelledImages:
    return LabelledImages(dataset.head("train", num), dataset.spec, seed=0)


def trained(config: ProbeConfig, stream: LabelledImages, images: int = 400) -> ProbeClassifier:
    settings = TrainingConfig(images=images, batch_size=8, rounds_per_report=10, num_threads=1)
    classifier = train_to_end(config, settings, 0, stream)
    assert isinstance(classifier, ProbeClassifier)
    return classifier


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}


def test_a_linear_probe_leaves_the_model_alone_and_fine_tuning_moves_its_encoder(digits: Dataset) -> None:
    model = VQVAE.build(digits.spec)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    frozen = trained(ProbeConfig(encoder=model, frozen=True), few(digits, 40))
    assert not changed(before, dict(frozen.encoder.state_dict()))
    assert frozen.output.weight.abs().sum() > 0.0
    tuned = trained(ProbeConfig(encoder=model, frozen=False), few(digits, 40))
    moved = changed(before, dict(tuned.encoder.state_dict()))
    assert moved == {name for name in before if name.startswith("encoder.")}  # no decoder, no codebook
    assert tuned.num_encoder_weights == sum(parameter.numel() for parameter in model.encoder.parameters())
    assert not changed(before, dict(model.state_dict()))


def test_latents_are_standardised_by_those_of_the_labelled_images(digits: Dataset) -> None:
    stream = few(digits, 60)
    classifier = trained(ProbeConfig(encoder=PLAIN.build(digits.spec), frozen=True), stream, images=8)
    with torch.no_grad():
        features = classifier.features(stream.take(0, 60).images)
    torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]), atol=1e-4, rtol=0.0)
    assert (features.std(0) < 1.001).all()
    assert features.std(0).max() > 0.999  # less only for latents that hardly move


def test_an_encoder_from_scratch_is_prepared_on_the_labelled_images(digits: Dataset) -> None:
    stream = few(digits, 40)
    config = ProbeConfig(encoder=VQVAE.build(digits.spec), frozen=False, prepare_encoder=True)
    codebook = trained(config, stream, images=8).encoder.codebook.vectors  # type: ignore[union-attr]
    assert not torch.equal(codebook, config.encoder.codebook.vectors)  # type: ignore[union-attr]


def test_every_epoch_shows_each_labelled_image_once(digits: Dataset) -> None:
    stream = few(digits, 30)
    epochs = [stream.take(30 * epoch, 30).images.flatten(1) for epoch in range(2)]
    whole = digits.head("train", 30).images.flatten(1)
    for shown in epochs:
        assert sorted(map(tuple, shown.tolist())) == sorted(map(tuple, whole.tolist()))
    assert not torch.equal(*epochs)
    both = torch.cat(epochs)
    assert torch.equal(stream.take(25, 12).images.flatten(1), both[25:37])


def test_all_three_classifiers_see_the_same_balanced_labels(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ImageBatch] = []

    def watch(config: ProbeConfig, settings: TrainingConfig, seed: int, stream: LabelledImages, **options: Any) -> Any:
        seen.append(stream.take(0, stream.num_images))
        return train_to_end(config, settings, seed, stream, **options)

    monkeypatch.setattr("gen_dist.workflows.probe.train_to_end", watch)
    bundle = load_bundle(bundle_at(tmp_path / "b", VQVAE, digits.spec))
    report = probe(bundle, digits, ProbeSettings(num_labels=25, num_seeds=2, images=64))
    assert list(report.ways) == ["linear probe", "fine-tuning", "from scratch"]
    for seed in range(2):
        first, *others = seen[3 * seed : 3 * seed + 3]
        assert first.labels is not None
        assert sorted(first.labels.bincount(minlength=10).tolist()) == [2] * 5 + [3] * 5
        assert all(torch.equal(first.images, other.images) for other in others)
    assert not torch.equal(seen[0].images, seen[3].images)
    weights = {way: result.num_weights for way, result in report.ways.items()}
    assert weights["fine-tuning"] == weights["from scratch"] > weights["linear probe"] == 10 * (3 * 16 + 1)


def test_the_command_writes_its_figures(digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A linear classifier of pixels reads most digits from 10 of each; the untrained flow keeps them all."""
    model = bundle_at(tmp_path / "b", PLAIN, digits.spec)
    command(str(model), data=digits.uri, labels=100, seeds=2, images=2_000, out=tmp_path / "probe.json", device="cpu")
    assert "linear probe" in capsys.readouterr().out
    report = from_json((tmp_path / "probe.json").read_text(), ProbeReport)
    linear = report.ways["linear probe"]
    assert len(linear.accuracies) == 2
    assert linear.accuracy == pytest.approx(sum(linear.accuracies) / 2)
    assert linear.standard_error == pytest.approx(abs(linear.accuracies[0] - linear.accuracies[1]) / 2)
    assert linear.accuracy > 0.6  # chance is 0.1


def test_a_second_stage_is_probed_by_its_first(digits: Dataset, tmp_path: Path) -> None:
    config = CodePriorConfig(foundation=VQVAE, embedding_dim=2, features=4, num_blocks=0, output_features=4)
    bundle = load_bundle(bundle_at(tmp_path / "b", config, digits.spec))
    report = probe(bundle, digits, ProbeSettings(num_labels=10, num_seeds=1, images=16))
    assert report.ways["linear probe"].num_weights == 10 * (3 * 16 + 1)
    assert report.ways["linear probe"].standard_error is None


def test_what_can_not_be_probed_is_refused(digits: Dataset, tmp_path: Path) -> None:
    gan = DCGANConfig(latent_dim=4, generator_channels=4, critic_channels=4)
    settings = ProbeSettings(num_labels=10, num_seeds=1, images=16)
    with pytest.raises(ValueError, match="UnconditionalGAN can't be probed: it maps images to no latents"):
        probe(load_bundle(bundle_at(tmp_path / "gan", gan, digits.spec)), digits, settings)
    bundle = load_bundle(bundle_at(tmp_path / "b", VQVAE, digits.spec))
    with pytest.raises(ValueError, match="--labels 9: give at least one for each of the 10 classes"):
        probe(bundle, digits, ProbeSettings(num_labels=9))
    with pytest.raises(ValueError, match=r"--labels 5000: class .* has \d+ training images, 500 are needed"):
        probe(bundle, digits, ProbeSettings(num_labels=5000))
    with pytest.raises(ValueError, match="num_seeds is 0"):
        ProbeSettings(num_labels=10, num_seeds=0)
    with pytest.raises(ValueError, match="the data has 0 classes"):
        ProbeConfig(encoder=VQVAE.build(digits.spec), frozen=True, optimizer=Adam()).build(
            DataSpec(channels=1, height=8, width=8)
        )
