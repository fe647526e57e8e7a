"""The evaluator on real digits: the anchors are in order, and learners whose quality is known are judged so."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor

from gen_dist.capabilities import LikelihoodKind
from gen_dist.data.dataset import Dataset
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.evaluation.evaluator import Evaluator
from gen_dist.evaluation.extractor import Extraction
from gen_dist.evaluation.protocol import EvaluationRecord, same_protocol
from gen_dist.evaluation.random_features import NUM_FEATURES, RandomExtractor
from gen_dist.learner import Learner, Phase, Player
from gen_dist.types import DataSpec

NUM_SAMPLES = 400


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return import_source(DigitsSource(), tmp_path_factory.mktemp("data") / "digits", ImportOptions()).dataset


@pytest.fixture(scope="module")
def evaluator(digits: Dataset) -> Evaluator:
    return Evaluator(digits, RandomExtractor(digits.spec), num_samples=NUM_SAMPLES)


class Mute(Learner):
    """Can neither draw nor score."""

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()


class Replay(Mute):
    """Draws from a fixed set of images."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.register_buffer("images", images)
        self.images: Tensor

    def sample(self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.images[torch.randint(len(self.images), (num,))]


class Scorer(Mute):
    """Scores without drawing: every pixel is one of 16 values."""

    likelihood_kind: LikelihoodKind = "exact"
    likelihood_of: Literal["8-bit", "binary"] = "8-bit"

    def log_probability(self, images: Tensor) -> Tensor:
        return torch.full((len(images),), -64 * 4 * torch.log(torch.tensor(2.0)).item())


class LabelReader:
    """An extractor whose class is written in the first pixel."""

    name = "classifier"
    digest = "reads labels"

    def extract(self, images: Tensor) -> Extraction:
        flat = images.flatten(1).double()
        return Extraction(flat[:, 20:24], images[:, 0, 0, 0].long() % 10)


def test_real_images_are_far_better_than_the_gaussian(evaluator: Evaluator, digits: Dataset) -> None:
    anchors = evaluator.evaluate(Replay(digits.read("train").images), ema=False).anchors
    assert anchors["frechet_distance_real"] < anchors["frechet_distance_gaussian"] / 4
    assert abs(anchors["kernel_distance_real"]) < anchors["kernel_distance_gaussian"] / 10
    assert anchors["precision_real"] > anchors["precision_gaussian"] + 0.1
    assert anchors["diversity_real"] == pytest.approx(1.0, abs=0.05)


def test_a_model_as_good_as_real_images_is_judged_as_good_as_the_real_anchor(
    evaluator: Evaluator, digits: Dataset
) -> None:
    record = evaluator.evaluate(Replay(digits.read("train").images), ema=True)
    metrics, anchors = record.metrics, record.anchors
    assert metrics["frechet_distance"] < 2 * anchors["frechet_distance_real"]  # two random halves differ by less
    assert metrics["precision"] > 0.8
    assert metrics["recall"] > 0.7
    assert record.notes == ()
    assert record.likelihood_kind is None
    assert (record.protocol.ema, record.protocol.num_samples) == (True, NUM_SAMPLES)
    assert (record.protocol.num_reference, record.protocol.num_scored) == (digits.num_images("test"), 0)
    assert (record.protocol.dataset_digest, record.protocol.extractor) == (digits.digest, "random")


def test_a_collapsed_model_is_told_that_a_gaussian_is_better(evaluator: Evaluator, digits: Dataset) -> None:
    record = evaluator.evaluate(Replay(digits.read("train").images[:1]), ema=False)
    assert "worse than a Gaussian fitted to the pixels" in record.notes
    assert record.metrics["diversity"] == 0.0
    assert record.metrics["recall"] == 0.0


def test_equal_seeds_give_equal_records_and_others_differ(evaluator: Evaluator, digits: Dataset) -> None:
    learner = Replay(digits.read("train").images)
    first = evaluator.evaluate(learner, ema=False)
    torch.randn(3)
    again = Evaluator(digits, RandomExtractor(digits.spec), num_samples=NUM_SAMPLES).evaluate(learner, ema=False)
    other = evaluator.evaluate(learner, ema=False, seed=1)
    assert again == first
    assert EvaluationRecord.from_json(first.to_json()) == first
    assert other.metrics != first.metrics
    assert other.anchors == first.anchors
    assert same_protocol(first, other)


def test_the_number_of_samples_belongs_to_record_and_anchors(evaluator: Evaluator, digits: Dataset) -> None:
    learner = Replay(digits.read("train").images)
    few, many = (evaluator.evaluate(learner, ema=False, num_samples=num) for num in (100, 2000))
    assert not same_protocol(few, many)
    assert few.anchors["frechet_distance_real"] > many.anchors["frechet_distance_real"]
    num_train = digits.num_images("train")
    assert f"all {num_train} training images, fewer than 2000 samples" in " ".join(many.notes)


def test_the_split_that_is_judged_is_the_one_that_was_named(digits: Dataset) -> None:
    judge = Evaluator(digits, RandomExtractor(digits.spec), split="validation", num_samples=NUM_SAMPLES)
    record = judge.evaluate(Replay(digits.read("validation").images), ema=False)
    assert record.protocol.split == "validation"
    assert record.protocol.num_reference == digits.num_images("validation")
    test = Evaluator(digits, RandomExtractor(digits.spec), num_samples=NUM_SAMPLES)
    elsewhere = test.evaluate(Replay(digits.read("validation").images), ema=False)
    assert record.metrics["frechet_distance"] < elsewhere.metrics["frechet_distance"] / 2
    assert record.metrics["precision"] == 1.0  # every sample is one of the reference's own images


def test_classes_that_a_model_never_draws_are_missed(digits: Dataset) -> None:
    train = digits.read("train")
    assert train.labels is not None
    labelled = train.images.clone()
    labelled[:, 0, 0, 0] = train.labels.byte()
    judge = Evaluator(digits, LabelReader(), num_samples=NUM_SAMPLES)
    assert judge.evaluate(Replay(labelled), ema=False).metrics["modes_covered"] == 1.0
    half = labelled[train.labels < 5]
    assert judge.evaluate(Replay(half), ema=False).metrics["modes_covered"] == 0.5


def test_a_learner_that_only_scores_gets_bits_and_no_distances(evaluator: Evaluator, digits: Dataset) -> None:
    record = evaluator.evaluate(Scorer(), ema=False)
    assert record.metrics == {
        "bits_per_dimension": pytest.approx(4.0, rel=1e-6),  # log 2 in float32
        "bits_per_dimension_error": pytest.approx(0.0, abs=1e-6),
    }
    assert record.likelihood_kind == "exact"
    assert (record.protocol.num_samples, record.protocol.num_scored) == (0, digits.num_images("test"))
    assert record.anchors == {}


def test_scoring_can_be_limited_or_left_out(digits: Dataset) -> None:
    extractor = RandomExtractor(digits.spec)
    limited = Evaluator(digits, extractor, num_scored=10).evaluate(Scorer(), ema=False)
    assert limited.protocol.num_scored == 10
    nothing = Evaluator(digits, extractor, num_scored=0).evaluate(Scorer(), ema=False)
    assert nothing.metrics == {}


def test_what_can_not_be_judged_is_refused(evaluator: Evaluator, digits: Dataset) -> None:
    with pytest.raises(ValueError, match=r"draws images of \(1, 4, 4\).*has \(1, 8, 8\)"):
        evaluator.evaluate(Replay(torch.zeros(3, 1, 4, 4, dtype=torch.uint8)), ema=False)
    with pytest.raises(ValueError, match="Mute can neither draw, translate nor score images"):
        evaluator.evaluate(Mute(), ema=False)
    with pytest.raises(ValueError, match="nearest_k is 500"):
        Evaluator(digits, RandomExtractor(digits.spec), nearest_k=500)


def test_fewer_images_than_features_are_noted(digits: Dataset) -> None:
    wide = LabelReader()
    wide.extract = lambda images: Extraction(images.flatten(1).double().repeat(1, 6))  # type: ignore[method-assign]
    record = Evaluator(digits, wide, num_samples=50).evaluate(Replay(digits.read("train").images), ema=False)
    assert "singular covariance" in record.notes[0]
    assert digits.num_images("validation") > NUM_FEATURES


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32), (1, 28), (3, 64)])
def test_random_features_depend_on_nothing_but_shape_and_seed(channels: int, side: int) -> None:
    spec = DataSpec(channels=channels, height=side, width=side)
    first = RandomExtractor(spec)
    torch.randn(3)
    second = RandomExtractor(spec)
    images = torch.randint(0, 256, (5, *spec.shape), dtype=torch.uint8)
    features = first.extract(images).features
    assert features.shape == (5, NUM_FEATURES)
    assert features.dtype == torch.float64
    assert torch.equal(features, second.extract(images).features)
    assert first.digest == second.digest
    assert first.digest != RandomExtractor(spec, seed=1).digest
    assert first.digest != RandomExtractor(dataclasses.replace(spec, channels=4 - channels)).digest
    assert float(features.std(dim=0).min()) > 0
