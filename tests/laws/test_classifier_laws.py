"""The classifier: augmentation only moves images, the loss is cross-entropy, features are what the output sees."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from gen_dist.capabilities import Classifies
from gen_dist.learner import Context, Loss
from gen_dist.models.classifier.convnet import ConvNetConfig, shift
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64
DIGITS = DataSpec(channels=1, height=8, width=8, class_names=tuple("0123456789"))


def test_a_shift_moves_rows_and_columns_and_repeats_the_border() -> None:
    """Every result is one of the nine shifts of its image, drawn by hand for one of them, and all nine occur."""
    image = torch.arange(16, dtype=torch.uint8).reshape(4, 4)
    down_right = torch.tensor([[0, 0, 1, 2], [0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]], dtype=torch.uint8)

    def moved(rows: int, columns: int) -> Tensor:
        where = torch.arange(4)
        return image[(where + rows).clamp(0, 3)][:, (where + columns).clamp(0, 3)]

    assert torch.equal(moved(-1, -1), down_right)
    allowed = {tuple(moved(rows, columns).flatten().tolist()) for rows in (-1, 0, 1) for columns in (-1, 0, 1)}
    found = {tuple(one.flatten().tolist()) for one in shift(image.expand(500, 1, 4, 4), 1)}
    assert found == allowed
    assert len(allowed) == 9


def test_colours_of_an_image_move_together() -> None:
    images = torch.randint(0, 256, (50, 1, 6, 5), dtype=torch.uint8)
    moved = shift(images.expand(-1, 3, -1, -1), 2)
    assert torch.equal(moved[:, :1].expand(-1, 3, -1, -1), moved)
    assert not torch.equal(moved[:, :1], images)


def test_no_shift_changes_nothing() -> None:
    images = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(shift(images, 0), images)


def test_the_loss_is_the_cross_entropy_and_moves_every_weight() -> None:
    model = ConvNetConfig(channels=(8, 8), feature_dim=6, dropout=0.0, max_shift=0).build(DIGITS).double()
    images, labels = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8), torch.arange(12) % 10
    (phase,) = model.phases
    signal = phase.signal(ImageBatch(images=images, labels=labels), Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    with torch.no_grad():
        logits = model.logits(images)
    chosen = logits[torch.arange(12), labels]
    torch.testing.assert_close(signal.value.detach(), (torch.logsumexp(logits, 1) - chosen).mean())
    right = sum(int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True))
    torch.testing.assert_close(signal.metrics["accuracy"], torch.tensor(right / 12, dtype=DOUBLE))
    parameters = model.active(phase.player, Moment())
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters()}
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 1.0)
    assert all(p.grad is not None and p.grad.abs().sum() > 0.0 for p in parameters)


def test_features_are_what_the_output_layer_sees() -> None:
    model = ConvNetConfig(feature_dim=16).build(DIGITS).double().eval()
    assert isinstance(model, Classifies)
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        features, logits = model.features(images), model.logits(images)
        torch.testing.assert_close(logits, features @ model.output.weight.T + model.output.bias)
    assert features.shape == (5, 16)
    assert torch.linalg.matrix_rank(torch.cov(model.features(_noise()).detach().T)) == 16


def _noise() -> Tensor:
    return torch.randint(0, 256, (100, 1, 8, 8), dtype=torch.uint8)


def test_dropout_acts_in_training_only() -> None:
    model = ConvNetConfig(dropout=0.5).build(DIGITS)
    images = _noise()
    assert not torch.equal(model.features(images), model.features(images))
    model.eval()
    assert torch.equal(model.features(images), model.features(images))


@pytest.mark.parametrize("first_stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 7, 5)], ids=str)
def test_any_size_of_image_is_classified(shape: tuple[int, int, int], first_stride: Literal[1, 2]) -> None:
    data = DataSpec(channels=shape[0], height=shape[1], width=shape[2], class_names=("even", "odd"))
    model = ConvNetConfig(channels=(4, 6, 8), first_stride=first_stride, feature_dim=5).build(data)
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    assert model.logits(images).shape == (2, 2)
    assert model.features(images.contiguous(memory_format=torch.channels_last)).shape == (2, 5)


def test_what_cannot_be_classified_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the data has 0 classes"):
        ConvNetConfig().build(DataSpec(channels=1, height=8, width=8))
    with pytest.raises(ValueError, match=r"model\.max_shift is 9"):
        ConvNetConfig(max_shift=9).build(DIGITS)
    with pytest.raises(ValueError, match=r"model\.channels is \(\)"):
        ConvNetConfig(channels=())
    model = ConvNetConfig().build(DIGITS)
    with pytest.raises(ValueError, match="the batch has no labels"):
        model.cross_entropy(ImageBatch(images=_noise()), Context(Moment(), 0, 0, {}))


def test_an_untrained_classifier_is_as_good_as_chance() -> None:
    model = ConvNetConfig().build(DIGITS).eval()
    with torch.no_grad():
        logits = model.logits(_noise())
    loss = torch.nn.functional.cross_entropy(logits, torch.randint(10, (100,)))
    assert abs(float(loss) - math.log(10.0)) < 0.5
