"""NADE and RNADE: the recursion against sums written out, densities that integrate to 1, bins that add up."""

import itertools
import math
from unittest import mock

import pytest
import torch
from torch import Tensor

from gen_dist.models.autoregressive import nade
from gen_dist.models.autoregressive.mixtures import GaussianMixture
from gen_dist.models.autoregressive.nade import NADE, NADEConfig
from gen_dist.models.autoregressive.sequence import from_sequence, to_sequence
from gen_dist.types import DataSpec

DOUBLE = torch.float64
LIKELIHOODS = ("bernoulli", "gaussian-mixture")


def model_of(likelihood: str, colours: int, height: int, width: int, hidden: int = 12) -> NADE:
    """Weights far from their start."""
    torch.manual_seed(1)
    config = NADEConfig(likelihood=likelihood, hidden=hidden, num_components=3)
    model = config.build(DataSpec(channels=colours, height=height, width=width)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.1 * torch.randn_like(parameter))
    return model


def written_out(model: NADE, inputs: Tensor) -> Tensor:
    """Algorithm 1 of the paper, one value after the other; of RNADE with its scaled rectified units."""
    values = to_sequence(inputs) if model.real else (to_sequence(inputs) + 1.0) / 2.0
    outputs = []
    for i in range(values.shape[1]):
        total = model.hidden_bias.clone().expand(len(values), -1)
        for j in range(i):
            total = total + values[:, j, None] * model.weight[j]
        hidden = (model.scale[i] * total).clamp(min=0.0) if model.real else 1.0 / (1.0 + torch.exp(-total))
        outputs.append(hidden @ model.output_weight[i].T + model.output_bias[i])
    return from_sequence(torch.stack(outputs, 1), model.data)


@pytest.mark.parametrize("chunk", [1, 4, 7, 1000])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_recursion_is_the_sum_written_out(likelihood: str, colours: int, chunk: int) -> None:
    """With its gradient, whatever the chunk."""
    model = model_of(likelihood, colours, 3, 5)
    inputs = 2.0 * torch.rand(4, colours, 3, 5, dtype=DOUBLE) - 1.0
    with mock.patch.object(nade, "CHUNK", chunk):
        found = model.predict(inputs, None)
        parameters = list(model.parameters())
        slopes = torch.autograd.grad(found.square().sum(), parameters)
    expected = written_out(model, inputs)
    torch.testing.assert_close(found, expected)
    for slope, other in zip(slopes, torch.autograd.grad(expected.square().sum(), parameters), strict=True):
        torch.testing.assert_close(slope, other)
        assert slope.abs().sum() > 0.0


def test_training_keeps_no_hidden_units() -> None:
    """What waits for the gradient grows with a chunk and with the carried sums, not with values times hidden units."""
    model = model_of("bernoulli", 1, 16, 16, hidden=64)
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in {p.untyped_storage().data_ptr() for p in model.parameters()}:
            kept.append(tensor.numel())
        return tensor

    inputs = torch.rand(8, 1, 16, 16, dtype=DOUBLE)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.predict(inputs, None).sum()
    assert sum(kept) < 8 * 16 * 16 * 64 / 4  # hidden units alone would be four times as many


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_autocast_does_not_reach_the_recursion(likelihood: str) -> None:
    model = model_of(likelihood, 1, 8, 8).float()
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.outputs(images, None)
    assert torch.equal(found, model.outputs(images, None))


def test_the_order_is_row_column_colour() -> None:
    images = torch.arange(12.0).reshape(1, 3, 2, 2)  # colour by colour: red 0..3, green 4..7, blue 8..11
    assert to_sequence(images).int().tolist() == [[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]]
    data = DataSpec(channels=3, height=2, width=2)
    outputs = torch.stack([to_sequence(images), 100.0 + to_sequence(images)], 2)  # two outputs for each value
    by_pixel = from_sequence(outputs, data)
    assert by_pixel.shape == (1, 6, 2, 2)
    torch.testing.assert_close(by_pixel[:, 0::2], images)
    torch.testing.assert_close(by_pixel[:, 1::2], 100.0 + images)


@pytest.mark.parametrize("colours", [1, 3])
def test_rnade_sees_no_future_and_the_whole_past(colours: int) -> None:
    """Its scores are bounds with noise, so the laws on exact probabilities do not hold it; causality must."""
    model = model_of("gaussian-mixture", colours, 2, 3, hidden=200)
    inputs = 2.0 * torch.rand(1, colours, 2, 3, dtype=DOUBLE) - 1.0
    mixture = torch.randn(model.distribution.num_outputs // colours, dtype=DOUBLE)

    def mixed(values: Tensor) -> Tensor:
        return torch.einsum("bckhw,k->bchw", model.predict(values, None).unflatten(1, (colours, -1)), mixture)

    jacobian = torch.autograd.functional.jacobian(mixed, inputs)
    assert isinstance(jacobian, Tensor)
    num = model.data.num_dimensions
    slopes = jacobian[0, :, :, :, 0].permute(1, 2, 0, 4, 5, 3).reshape(num, num)
    assert (slopes.triu() == 0.0).all()
    assert (slopes.tril(-1) != 0.0).sum() == num * (num - 1) // 2


def test_a_mixture_s_density_integrates_to_one() -> None:
    distribution = GaussianMixture(1, 4)
    outputs = torch.randn(3, 12, 1, 1, dtype=DOUBLE)
    values = torch.linspace(-5_000.0, 5_000.0, 200_001, dtype=DOUBLE)
    grid = values[:, None, None, None]
    for row in outputs:
        density = distribution.log_density(row.expand(len(values), -1, -1, -1), grid).exp()[:, 0, 0, 0]
        # The trapezoidal rule converges exponentially for Gaussians that span many steps of the grid.
        torch.testing.assert_close(torch.trapezoid(density, values), torch.ones((), dtype=DOUBLE))


def bin_probability(outputs: Tensor) -> Tensor:
    """Probability of each of the 256 values by the Gaussian's distribution function, and 0 for what lies outside."""
    logits, mean, log_scale = outputs.reshape(3, -1)
    edges = torch.arange(257, dtype=DOUBLE)[:, None] / 128.0 - 1.0
    below = torch.special.ndtr((edges - mean) * torch.exp(-log_scale))
    return (below[1:] - below[:-1]) @ logits.softmax(0)


def test_a_pair_of_values_integrates_to_what_lies_inside() -> None:
    """Over two values, the second given the bin of the first: bins and what is missing at the edges add up to 1."""
    model = model_of("gaussian-mixture", 1, 1, 2)
    images = torch.zeros(256, 1, 1, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(256)
    with torch.no_grad():
        outputs = model.outputs(images, None)
    first = bin_probability(outputs[0, :, 0, 0])
    assert 0.1 < float(first.sum()) <= 1.0
    points = torch.linspace(0.0, 256.0, 4097, dtype=DOUBLE)
    total = torch.zeros((), dtype=DOUBLE)
    for value in range(256):
        density = model.distribution.log_density(  # of the second value alone, given this bin of the first
            outputs[value : value + 1, :, :, 1:].expand(len(points), -1, -1, -1), points[:, None, None, None]
        ).exp()[:, 0, 0, 0]
        inside = torch.trapezoid(density, points)
        # Steps of 1/16 against scales of many bins.
        torch.testing.assert_close(inside, bin_probability(outputs[value, :, 0, 1]).sum(), atol=1e-5, rtol=0.0)
        total = total + first[value] * inside
    assert total <= 1.0


def test_the_score_bounds_the_probability_of_the_bins() -> None:
    model = model_of("gaussian-mixture", 1, 1, 2)
    assert model.likelihood_kind == "lower bound"
    assert model_of("bernoulli", 1, 1, 2).likelihood_kind == "exact"
    image = torch.tensor([[[[60, 200]]]], dtype=torch.uint8)
    with torch.no_grad():
        outputs = model.outputs(image, None)
    exact = sum(
        float(bin_probability(outputs[0, :, 0, column])[int(image[0, 0, 0, column])].log()) for column in (0, 1)
    )
    scores = model.log_probability(image.expand(20_000, -1, -1, -1))
    error = float(scores.std()) / math.sqrt(len(scores))
    assert float(scores.mean()) < exact + 5.0 * error
    assert float(scores.exp().mean()) == pytest.approx(math.exp(exact), rel=0.01)  # the bound's exponential is unbiased


def test_draws_of_a_mixture_have_the_bins_probabilities() -> None:
    distribution = GaussianMixture(3, 2)
    outputs = torch.randn(18, dtype=DOUBLE)
    outputs[6:12] = torch.tensor([0.3, -0.2, -0.9, 0.7, -2.0, -1.0])  # green: the only colour that is drawn
    num = 50_000
    pixel = torch.zeros(num, 3, dtype=torch.uint8)
    drawn = distribution.draw(outputs.expand(num, -1), pixel, 1, 1.0)
    expected = bin_probability(outputs[6:12])
    logits, mean, log_scale = outputs[6:12].reshape(3, 2)
    expected[0] += torch.special.ndtr((-1.0 - mean) * torch.exp(-log_scale)) @ logits.softmax(0)  # all that is darker
    expected[255] += 1.0 - expected.sum()
    counts = torch.bincount(drawn.long(), minlength=256).double()
    often = num * expected > 5.0
    chi_square = ((counts - num * expected).square() / (num * expected))[often].sum()
    degrees = int(often.sum()) - 1
    assert degrees > 100
    assert chi_square < degrees + 5.0 * math.sqrt(2.0 * degrees)  # five standard deviations


def test_rnade_draws_by_recursion_what_it_draws_by_the_whole_network() -> None:
    model = model_of("gaussian-mixture", 3, 4, 3)
    images = torch.randint(0, 256, (5, 3, 4, 3), dtype=torch.uint8)
    predictor = model.predictor(5, None)
    with torch.no_grad():
        whole = model.outputs(images, None)
        for row in range(4):
            for column in range(3):
                for _ in range(3):  # asked again for each colour
                    found = predictor.pixel(images, row, column)
                torch.testing.assert_close(found, whole[:, :, row, column])


def test_probabilities_of_binary_colour_images_sum_to_one() -> None:
    model = model_of("bernoulli", 3, 1, 3)
    every = torch.tensor(list(itertools.product((0, 255), repeat=9)), dtype=torch.uint8).reshape(-1, 3, 1, 3)
    total = model.log_probability(every).exp().sum()
    torch.testing.assert_close(total, torch.ones((), dtype=DOUBLE))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.hidden is 0"):
        NADEConfig(hidden=0)
    with pytest.raises(ValueError, match=r"model\.num_components is 0"):
        NADEConfig(num_components=0)
