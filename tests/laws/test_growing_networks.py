"""The parts of growing networks, in float64: what keeps layers at one scale, and what the critic sees of a batch."""

import math

import pytest
import torch
from torch import nn

from gen_dist.models.gan.growing_networks import EqualizedConv2d, EqualizedLinear, pixel_norm, with_minibatch_deviation

DOUBLE = torch.float64


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2.0)])
def test_equalised_layers_keep_the_variance_of_their_inputs(gain: float) -> None:
    """Unit variance in, the square of the gain out, whatever the number of inputs: weights all start from N(0, 1)."""
    torch.manual_seed(0)
    for inputs in (8, 300):
        linear = EqualizedLinear(inputs, 400, gain=gain).double()
        outputs = linear(torch.randn(500, inputs, dtype=DOUBLE))
        # A variance over n weights is off by a share of about the root of 2 / n: 0.03 for the fewest here.
        assert float(outputs.detach().square().mean()) == pytest.approx(gain**2, rel=0.1)
        convolution = EqualizedConv2d(inputs, 200, 3, gain=gain).double()
        inner = convolution(torch.randn(8, inputs, 9, 9, dtype=DOUBLE))[:, :, 1:-1, 1:-1]
        assert float(inner.detach().square().mean()) == pytest.approx(gain**2, rel=0.1)
        for layer in (linear, convolution):
            assert float(layer.weight.detach().std()) == pytest.approx(1.0, abs=0.05)
            assert not layer.bias.any()


def test_leaky_units_with_the_default_gain_keep_about_the_scale() -> None:
    """He's gain is made for units that are zero for half of their inputs: a slope of 0.2 adds 4 %."""
    torch.manual_seed(0)
    outputs = nn.LeakyReLU(0.2)(EqualizedLinear(200, 500).double()(torch.randn(500, 200, dtype=DOUBLE)))
    assert float(outputs.detach().square().mean()) == pytest.approx(1.04, rel=0.03)


def test_pixel_norm_makes_the_mean_square_over_channels_one() -> None:
    torch.manual_seed(0)
    features = 7.0 * torch.randn(2, 5, 3, 4, dtype=DOUBLE)
    normalised = pixel_norm(features)
    torch.testing.assert_close(normalised.square().mean(dim=1), torch.ones(2, 3, 4, dtype=DOUBLE), atol=1e-8, rtol=0)
    directions = features / features.norm(dim=1, keepdim=True)
    torch.testing.assert_close(normalised / normalised.norm(dim=1, keepdim=True), directions)
    assert not pixel_norm(torch.zeros(1, 3, 2, 2)).isnan().any()


@pytest.mark.parametrize(
    ("num", "group_size", "groups"),
    [(4, 4, [[0, 1, 2, 3]]), (8, 4, [[0, 2, 4, 6], [1, 3, 5, 7]]), (6, 4, [[0, 2, 4], [1, 3, 5]]), (3, 4, [[0, 1, 2]])],
)
def test_minibatch_deviation_is_its_formula(num: int, group_size: int, groups: list[list[int]]) -> None:
    torch.manual_seed(0)
    features = torch.randn(num, 3, 2, 5, dtype=DOUBLE)
    extended = with_minibatch_deviation(features, group_size)
    assert extended.shape == (num, 4, 2, 5)
    assert torch.equal(extended[:, :3], features)
    for group in groups:
        deviation = features[group].std(dim=0, correction=0).mean()
        torch.testing.assert_close(extended[group, 3], torch.full((len(group), 2, 5), float(deviation), dtype=DOUBLE))


def test_images_that_are_all_alike_have_no_deviation() -> None:
    alike = torch.ones(4, 3, 2, 2, dtype=DOUBLE)
    assert float(with_minibatch_deviation(alike, 4)[:, 3].max()) == pytest.approx(1e-4)  # the root of epsilon
    alone = with_minibatch_deviation(torch.randn(4, 3, 2, 2, dtype=DOUBLE), 1)[:, 3]
    torch.testing.assert_close(alone, torch.full((4, 2, 2), 1e-4, dtype=DOUBLE))
