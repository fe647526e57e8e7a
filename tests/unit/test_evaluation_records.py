"""Records keep their protocol, travel as JSON, and say when they do not compare; likelihoods against closed forms."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from gen_dist.evaluation.gaussian import gaussian_samples
from gen_dist.evaluation.likelihood import likelihood
from gen_dist.evaluation.protocol import (
    EvaluationProtocol,
    EvaluationRecord,
    same_protocol,
)
from gen_dist.learner import Learner, Phase, Player

PROTOCOL = EvaluationProtocol(
    extractor="random",
    extractor_digest="aa",
    dataset_digest="bb",
    split="test",
    num_reference=360,
    num_samples=500,
    num_scored=0,
    ema=True,
)


def record(**changes: object) -> EvaluationRecord:
    return EvaluationRecord(
        protocol=dataclasses.replace(PROTOCOL, **changes),
        metrics={"frechet_distance": 1.25, "bits_per_dimension": 2.0},
        anchors={"frechet_distance_real": 0.5},
        likelihood_kind="lower bound",
        notes=("worse than a Gaussian fitted to the pixels",),
    )


def test_a_record_survives_json() -> None:
    text = record().to_json()
    assert EvaluationRecord.from_json(text) == record()
    assert EvaluationRecord.from_json(text).to_json() == text


def test_json_with_a_wrong_field_is_refused_by_name() -> None:
    tree = json.loads(record().to_json())
    tree["protocol"]["num_sample"] = tree["protocol"].pop("num_samples")
    with pytest.raises(ValueError, match="num_sample"):
        EvaluationRecord.from_json(json.dumps(tree))


def test_a_figure_that_is_not_finite_is_no_figure() -> None:
    with pytest.raises(ValueError, match="recall: not finite"):
        dataclasses.replace(record(), metrics={"precision": 1.0, "recall": math.nan})


@pytest.mark.parametrize(
    "changes",
    [
        {"extractor_digest": "other"},
        {"dataset_digest": "other"},
        {"split": "validation"},
        {"num_samples": 1000},
        {"num_reference": 10},
        {"nearest_k": 5},
        {"version": 2},
    ],
)
def test_records_under_other_protocols_do_not_compare(changes: dict[str, object]) -> None:
    assert not same_protocol(record(), record(**changes))
    mine, other = (json.loads(entry.protocol.comparable()) for entry in (record(), record(**changes)))
    assert {name: other[name] for name in mine if mine[name] != other[name]} == changes


def test_the_judge_of_classes_belongs_to_one_figure_only() -> None:
    assert same_protocol(record(), record(class_judge_digest="cc"))


def test_seed_and_averaging_belong_to_what_is_judged() -> None:
    other = record(seed=7, ema=False)
    assert same_protocol(record(), other)
    assert record().protocol.comparable() == other.protocol.comparable()
    assert record() != other


class UniformModel(Learner):
    """Says that a pixel is one of `levels` values with equal probability, and adds its own noise if it has any."""

    def __init__(self, levels: int, likelihood_of: str = "8-bit", noise: float = 0.0) -> None:
        super().__init__()
        self.levels, self.noise = levels, noise
        self.dropout = nn.Dropout(0.5)
        self.likelihood_kind = "estimate"
        self.likelihood_of = likelihood_of

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()

    def log_probability(self, images: Tensor) -> Tensor:
        assert not self.dropout.training
        per_pixel = torch.full((len(images), images[0].numel()), -math.log(self.levels), dtype=torch.float64)
        return per_pixel.sum(1) + self.noise * torch.randn(len(images), dtype=torch.float64)


def test_a_uniform_model_of_256_levels_takes_eight_bits() -> None:
    images = torch.randint(0, 256, (300, 3, 4, 5), dtype=torch.uint8)
    score = likelihood(UniformModel(256).train(), images, seed=0)
    assert score is not None
    assert score.kind == "estimate"
    assert score.metrics["bits_per_dimension"] == pytest.approx(8.0, rel=1e-12)
    assert score.metrics["bits_per_dimension_error"] == pytest.approx(0.0, abs=1e-12)


def test_binary_models_are_judged_in_nats_per_image() -> None:
    score = likelihood(UniformModel(2, "binary"), torch.zeros(10, 1, 4, 5, dtype=torch.uint8), seed=0)
    assert score is not None
    assert set(score.metrics) == {"nats", "nats_error"}
    assert score.metrics["nats"] == pytest.approx(20 * math.log(2), rel=1e-12)


def test_the_error_is_the_standard_error_over_images_and_the_seed_fixes_the_noise() -> None:
    images = torch.zeros(400, 1, 1, 1, dtype=torch.uint8)
    model = UniformModel(2, "binary", noise=3.0)
    first = likelihood(model, images, seed=1)
    torch.randn(10)
    assert first == likelihood(model, images, seed=1)
    assert first != likelihood(model, images, seed=2)
    assert first is not None
    assert first.metrics["nats_error"] == pytest.approx(3.0 / 20, rel=0.15)  # 400 draws: the deviation itself is +-4 %


def test_the_gaussian_has_the_images_mean_and_covariance() -> None:
    """Values far from 0 and 255, so that clamping cuts nothing; 40,000 draws; rounding adds 1/12 to each variance."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(200, 1, generator=generator)
    images = 128 + 15 * common + 10 * torch.randn(200, 6, generator=generator)
    images = images.round().byte().view(200, 1, 2, 3)
    samples = gaussian_samples(images, 40_000, seed=0)
    assert samples.shape == (40_000, 1, 2, 3)
    wanted, drawn = (torch.cov(x.flatten(1).double().T) for x in (images, samples))
    torch.testing.assert_close(samples.double().mean(0), images.double().mean(0), atol=0.5, rtol=0)  # 5 errors of 0.1
    torch.testing.assert_close(drawn, wanted + torch.eye(6) / 12, atol=0.05 * float(wanted.max()), rtol=0)
    assert float(wanted[0, 1]) > 100


def test_the_gaussian_is_clamped_and_depends_on_its_seed_only() -> None:
    images = torch.randint(0, 2, (50, 1, 3, 3)).mul(255).byte()
    samples = gaussian_samples(images, 200, seed=1)
    assert samples.min() == 0
    assert samples.max() == 255
    torch.randn(5)
    assert torch.equal(samples, gaussian_samples(images, 200, seed=1))
    assert not torch.equal(samples, gaussian_samples(images, 200, seed=2))
