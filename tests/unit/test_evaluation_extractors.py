"""The classifier is trained once and shared; Inception's network reads the published names and resizes as published."""

import dataclasses
import runpy
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from gen_dist.bundle.bundle import BundleError, load_bundle, save_bundle
from gen_dist.config import RunConfig
from gen_dist.data.dataset import Dataset
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.evaluation.class_accuracy import PER_CLASS
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.inception import InceptionExtractor, InceptionV3, resize_like_tensorflow
from gen_dist.evaluation.protocol import same_protocol
from gen_dist.evaluation.random_features import RandomExtractor
from gen_dist.learner import Learner
from gen_dist.models.classifier.convnet import ConvNetConfig
from gen_dist.models.gan.conditional import ConditionalGANConfig
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.training.settings import TrainingConfig
from gen_dist.workflows import extractor as workflow
from gen_dist.workflows.evaluate import record_view
from gen_dist.workflows.extractor import JUDGE_SEED, classifier_directory, classifier_for, extractor_for
from gen_dist.workflows.judging import class_judge_for

CONVERT = Path(__file__).parents[2] / "benchmarks" / "convert_inception.py"
SMALL = RunConfig(
    model=ConvNetConfig(channels=(8,), feature_dim=4, ema_decay=None),
    training=TrainingConfig(images=6_400, batch_size=64, num_threads=1),
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return import_source(DigitsSource(), tmp_path_factory.mktemp("data") / "digits", ImportOptions()).dataset


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "preset", lambda _name: SMALL)


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> Learner:
        raise AssertionError("trained again")

    monkeypatch.setattr(workflow, "train_to_end", fail)


def test_the_classifier_is_trained_once_and_says_how_good_it_is(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = classifier_for(digits, cache=tmp_path)
    forbid_training(monkeypatch)
    again = classifier_for(digits, cache=tmp_path)
    assert again.digest == first.digest
    assert first.provenance["dataset_digest"] == digits.digest
    assert 0.4 < first.provenance["test_accuracy"] <= 1.0  # 100 steps of a tiny network; chance is 0.1

    test = digits.read("test")
    extraction = extractor_for(digits, cache=tmp_path).extract(test.images)
    assert extraction.classes is not None
    assert float((extraction.classes == test.labels).double().mean()) == first.provenance["test_accuracy"]
    train = extractor_for(digits, cache=tmp_path).extract(digits.read("train").images)
    assert float(train.features.var(dim=0).mean()) == pytest.approx(1.0, rel=1e-6)  # the scale was taken in float64


def test_other_data_and_another_classifier_get_their_own_place(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = classifier_directory(digits, tmp_path)
    fewer = import_source(DigitsSource(), tmp_path / "fewer", ImportOptions(limit=300)).dataset
    assert classifier_directory(fewer, tmp_path) != place
    monkeypatch.setattr(workflow, "preset", lambda _name: dataclasses.replace(SMALL, seed=1))
    assert classifier_directory(digits, tmp_path) != place
    monkeypatch.setenv("GEN_DIST_CACHE", str(tmp_path / "cache"))
    assert classifier_directory(digits).parent == tmp_path / "cache" / "extractors"


def test_of_two_processes_that_train_at_once_both_use_the_first_stored(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = classifier_directory(digits, tmp_path)
    torch.manual_seed(1)
    other = SMALL.model.build(digits.spec)

    def other_process_wins(*_arguments: object, **_options: object) -> Learner:
        save_bundle(other, SMALL.model, digits.spec, {"feature_scale": 1.0}, place)
        return SMALL.model.build(digits.spec)

    monkeypatch.setattr(workflow, "train_to_end", other_process_wins)
    mine = classifier_for(digits, cache=tmp_path)
    assert mine.digest == load_bundle(place).digest
    assert torch.equal(mine.learner.state_dict()["output.weight"], other.state_dict()["output.weight"])


def test_a_damaged_cache_says_what_to_remove(digits: Dataset, tmp_path: Path) -> None:
    place = classifier_directory(digits, tmp_path)
    save_bundle(SMALL.model.build(digits.spec), SMALL.model, digits.spec, {}, place)
    (place / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(BundleError, match=f"remove {place}"):
        classifier_for(digits, cache=tmp_path)


def test_the_choice_follows_the_labels_and_is_checked(digits: Dataset, tmp_path: Path) -> None:
    save_bundle(SMALL.model.build(digits.spec), SMALL.model, digits.spec, {}, classifier_directory(digits, tmp_path))
    assert extractor_for(digits, cache=tmp_path).name == "classifier"
    assert extractor_for(digits, "random").name == "random"
    with pytest.raises(ValueError, match="needs a weights file"):
        extractor_for(digits, "inception")
    with pytest.raises(ValueError, match="Inception weights are given, but the extractor is 'random'"):
        extractor_for(digits, "random", inception_weights=tmp_path / "inception.safetensors")
    with pytest.raises(ValueError, match="no file of Inception weights at"):
        extractor_for(digits, "inception", inception_weights=tmp_path / "inception.safetensors")


def test_the_classifier_sees_classes_and_the_real_anchor_covers_all(digits: Dataset, tmp_path: Path) -> None:
    anchors = Evaluator(digits, extractor_for(digits, cache=tmp_path), num_samples=200)._anchors_at(200).figures
    assert anchors["modes_covered_real"] == 1.0
    assert anchors["frechet_distance_real"] < anchors["frechet_distance_gaussian"] / 3


def test_models_that_draw_for_labels_are_judged_by_a_second_classifier(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEN_DIST_CACHE", str(tmp_path))
    plain = DCGANConfig(generator_channels=4, critic_channels=4, latent_dim=3, base_size=2).build(digits.spec)
    assert class_judge_for(plain, digits) is None
    labelled = ConditionalGANConfig(generator_channels=4, critic_channels=4, latent_dim=3, base_size=2)
    learner = labelled.build(digits.spec)
    second = class_judge_for(learner, digits)
    assert second is not None
    assert second.provenance["run"]["seed"] == SMALL.seed + 1
    assert classifier_directory(digits, seed=JUDGE_SEED) != classifier_directory(digits)

    evaluator = Evaluator(digits, RandomExtractor(digits.spec), num_samples=100, class_judge=second)
    record, other = (evaluator.evaluate(model, ema=False) for model in (learner, plain))
    assert record.protocol.class_judge_digest == second.digest
    assert record.anchors["class_accuracy_real"] == pytest.approx(second.provenance["test_accuracy"], abs=0.02)
    assert sum(name.startswith(PER_CLASS) for name in record.metrics) == 10
    assert other.protocol.class_judge_digest is None
    assert not any("class_accuracy" in name for name in other.metrics | other.anchors)
    assert same_protocol(record, other)  # all their other figures compare
    console = Console(width=100)
    with console.capture() as captured:
        console.print(record_view(record))
    assert "Asked class recognised" in captured.get()
    assert f"classes judged by {second.digest[:8]}" in captured.get()


def made_up(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Weights that keep activations near 1 through all layers."""
    if len(shape) == 4:
        return torch.randn(shape, generator=generator) * (2 / shape[1:].numel()) ** 0.5
    return torch.rand(shape, generator=generator) + 0.5 * name.endswith(("var", "weight"))


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the published names, with the classifier on top that the distance does not use."""
    with torch.device("meta"):
        shapes = InceptionV3().state_dict()
    generator = torch.Generator().manual_seed(0)
    published = {
        name: made_up(name, shapes[name].shape, generator)
        for name in sorted(shapes)
        if not name.endswith("num_batches_tracked")
    }
    folder = tmp_path_factory.mktemp("inception")
    torch.save(published | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, folder / "weights.pth")
    arguments = [str(folder / "weights.pth"), str(folder / "weights.safetensors")]
    convert = runpy.run_path(str(CONVERT))["main"]
    assert convert(arguments) == 2  # it is not the published file
    assert not (folder / "weights.safetensors").exists()
    assert convert([*arguments, "--any-file"]) == 0
    assert load_file(folder / "weights.safetensors").keys() == published.keys()
    return folder / "weights.safetensors"


def test_inception_agrees_with_torch_fidelity(inception_weights: Path) -> None:
    """Some features that torch-fidelity 0.4.0's network gives for the same weights and images."""
    images = (torch.arange(2 * 3 * 20 * 24) * 37 % 256).byte().view(2, 3, 20, 24)
    extraction = InceptionExtractor(inception_weights).extract(images)
    assert extraction.features.shape == (2, 2048)
    assert extraction.classes is None
    wanted = [[3.0012, 3.6, 3.3553, 0.0045, 0.1862, 0.0, 1.396], [2.9638, 3.6367, 3.3407, 0.007, 0.2046, 0.0, 1.4296]]
    some = extraction.features[:, [0, 320, 700, 1100, 1500, 1900, 2047]]
    torch.testing.assert_close(some, torch.tensor(wanted, dtype=torch.float64), atol=2e-4, rtol=0)  # four digits noted
    assert extraction.features.norm(dim=1).tolist() == pytest.approx([156.1908, 156.4120], rel=1e-5)


def test_inception_takes_grey_images_as_three_equal_channels(inception_weights: Path) -> None:
    extractor = InceptionExtractor(inception_weights)
    grey = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    repeated = extractor.extract(grey.expand(-1, 3, -1, -1)).features
    assert torch.equal(extractor.extract(grey).features, repeated)
    assert not torch.equal(repeated[0], repeated[1])
    assert InceptionExtractor(inception_weights).digest == extractor.digest


def test_inception_weights_must_fit_exactly(inception_weights: Path, tmp_path: Path) -> None:
    tensors = load_file(inception_weights)
    save_file(
        {name: tensor for name, tensor in tensors.items() if "Mixed_7c" not in name}, tmp_path / "cut.safetensors"
    )
    with pytest.raises(ValueError, match=r"(?s)cut\.safetensors does not hold the weights.*Mixed_7c"):
        InceptionExtractor(tmp_path / "cut.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(ValueError, match=r"junk\.safetensors does not hold the weights"):
        InceptionExtractor(tmp_path / "junk.safetensors")


def test_resize_reads_the_input_at_whole_steps() -> None:
    """TensorFlow 1: from 2 to 4 pixels, outputs read the input at 0, 0.5, 1, 1.5, the last beyond the border."""
    image = torch.tensor([[0.0, 10.0], [20.0, 30.0]])[None, None]
    wanted = [[0, 5, 10, 10], [10, 15, 20, 20], [20, 25, 30, 30], [20, 25, 30, 30]]
    assert resize_like_tensorflow(image, 4)[0, 0].tolist() == wanted
