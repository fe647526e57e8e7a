"""PixelCNN++: the mixture sums to 1 and is drawn as it is, both streams are causal, the fast way is the plain way."""

import itertools
import math
from unittest import mock

import pytest
import torch
from torch import Tensor

from gen_dist.losses.likelihood import discretised_logistic_log_probability
from gen_dist.losses.logistic_mixture import mixture_log_probability, mixture_of
from gen_dist.models.autoregressive.autoregressive import WholeNetwork
from gen_dist.models.autoregressive.mixture_output import LogisticMixture
from gen_dist.models.autoregressive.pixelcnn_plus_plus import PixelCNNPlusPlus, PixelCNNPlusPlusConfig
from gen_dist.nn.shifted import WeightNormalised
from gen_dist.presets import preset
from gen_dist.types import DataSpec, ImageBatch, from_signed, to_signed

DOUBLE = torch.float64
ALL_VALUES = torch.arange(256, dtype=torch.uint8)
SIZES = [(1, 5, 6), (2, 6, 5), (3, 7, 5), (3, 1, 4), (3, 4, 1)]  # resolutions, height, width


def network(
    num_scales: int, height: int, width: int, *, colours: int = 1, dtype: torch.dtype = DOUBLE
) -> PixelCNNPlusPlus:
    config = PixelCNNPlusPlusConfig(features=4, num_blocks=1, num_scales=num_scales, num_components=3)
    torch.manual_seed(1)
    model = config.build(DataSpec(channels=colours, height=height, width=width)).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # away from the zeros of the initialisation
            parameter.mul_(1.5).add_(0.05 * torch.randn_like(parameter))
    return model


def random_outputs(distribution: LogisticMixture, num: int, *, spread: float = 1.0) -> Tensor:
    return spread * torch.randn(num, distribution.num_outputs, dtype=DOUBLE)


@pytest.mark.parametrize(("num_scales", "height", "width"), SIZES)
def test_a_pixel_sees_all_earlier_pixels_and_no_other(num_scales: int, height: int, width: int) -> None:
    """Exactly: nothing of itself or later, not even one of its colours; all that is earlier."""
    colours = 3
    model = network(num_scales, height, width, colours=colours)
    mixture = torch.randn(model.distribution.num_outputs, dtype=DOUBLE)

    def mixed(image: Tensor) -> Tensor:
        return torch.einsum("bohw,o->hw", model.predict(image, None), mixture)

    jacobian = torch.autograd.functional.jacobian(mixed, torch.randn(1, colours, height, width, dtype=DOUBLE))
    assert isinstance(jacobian, Tensor)
    num = height * width
    slopes = jacobian[:, :, 0].reshape(num, colours, num)
    earlier = torch.ones(num, num).tril(-1).bool()
    assert (slopes.transpose(1, 2)[~earlier] == 0.0).all()
    assert (slopes.transpose(1, 2)[earlier] != 0.0).all()


@pytest.mark.parametrize("num_components", [1, 4])
@pytest.mark.parametrize("spread", [0.1, 1.0, 8.0])
def test_the_mixture_sums_to_one_over_256_values(num_components: int, spread: float) -> None:
    distribution = LogisticMixture(1, num_components)
    outputs = random_outputs(distribution, 20, spread=spread)[:, :, None, None].expand(-1, -1, 1, 256)
    values = ALL_VALUES.expand(20, 1, 1, 256)
    total = distribution.log_probability(outputs, values).exp().sum((1, 2))
    # 256 differences of one distribution function telescope to 1; what is left is rounding.
    torch.testing.assert_close(total, torch.ones(20, dtype=DOUBLE), atol=1e-12, rtol=0.0)


def test_two_coupled_colours_sum_to_one() -> None:
    """Over all 65,536 pairs: a coupling moves where green lies, and loses nothing."""
    distribution = LogisticMixture(2, 3)
    outputs = random_outputs(distribution, 1)[:, :, None, None]
    red, green = torch.meshgrid(ALL_VALUES, ALL_VALUES, indexing="ij")
    pairs = torch.stack([red, green])[None]
    log_probability = distribution.log_probability(outputs.expand(-1, -1, 256, 256), pairs)
    torch.testing.assert_close(log_probability.exp().sum(), torch.ones((), dtype=DOUBLE), atol=1e-12, rtol=0.0)


def test_three_coupled_colours_by_hand() -> None:
    """One component: the product of three discretised logistics with the means of Eq. 3."""
    means, log_scales, couplings = (
        torch.tensor(v, dtype=DOUBLE) for v in ([0.1, -0.2, 0.3], [-2.0, -3.0, -1.0], [0.5, -0.7, 0.2])
    )
    outputs = torch.cat([torch.zeros(1, dtype=DOUBLE), means, log_scales, couplings])[None]
    pixel = torch.tensor([[200, 30, 120]], dtype=torch.uint8)
    red, green, blue = to_signed(pixel, DOUBLE)[0]
    green_on_red, blue_on_red, blue_on_green = couplings.tanh()
    moved = torch.stack([means[0], means[1] + green_on_red * red, means[2] + blue_on_red * red + blue_on_green * green])
    expected = discretised_logistic_log_probability(moved, log_scales, torch.stack([red, green, blue])).sum()
    found = mixture_log_probability(mixture_of(outputs, 3, 1), to_signed(pixel, DOUBLE))
    torch.testing.assert_close(found, expected[None])


def test_far_tails_stay_finite_with_finite_slopes() -> None:
    """Where the difference of two sigmoids is 0 in float32, its logarithm and its slopes are not lost."""
    distribution = LogisticMixture(3, 2)
    outputs = torch.zeros(1, distribution.num_outputs, 1, 1)
    outputs[:, 1:4], outputs[:, 4:7] = 50.0, -20.0  # the first component lies far off, and is as sharp as can be
    outputs[:, 11:14], outputs[:, 14:17] = -50.0, -20.0
    outputs.requires_grad_()
    log_probability = distribution.log_probability(outputs, torch.full((1, 3, 1, 1), 128, dtype=torch.uint8))
    (slope,) = torch.autograd.grad(log_probability.sum(), outputs)
    assert log_probability.isfinite().all()
    assert log_probability.item() < -1e4
    assert slope.isfinite().all()
    assert slope[:, 1:4].abs().min() > 0 or slope[:, 11:14].abs().min() > 0


def draw_pixels(distribution: LogisticMixture, outputs: Tensor, num: int, temperature: float = 1.0) -> Tensor:
    pixel = torch.zeros(num, distribution.num_colours, dtype=torch.uint8)
    for colour in range(distribution.num_colours):
        pixel[:, colour] = distribution.draw(outputs.expand(num, -1), pixel, colour, temperature)
    return pixel


def chi_square_is_small(counts: Tensor, expected: Tensor) -> bool:
    """Within five standard deviations; cells that expect fewer than five draws are counted together."""
    rare = expected < 5.0
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]]).clamp(min=1e-9)
    degrees = len(counts) - 1
    assert degrees >= 10
    return bool(((counts - expected).square() / expected).sum() < degrees + 5.0 * math.sqrt(2.0 * degrees))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_have_the_probabilities_of_256_values(temperature: float) -> None:
    distribution, num = LogisticMixture(1, 4), 200_000
    outputs = random_outputs(distribution, 1)
    outputs[:, 1::3], outputs[:, 2::3] = 0.7 * outputs[:, 1::3], outputs[:, 2::3] - 3.0  # peaks, and mass on both edges
    drawn = draw_pixels(distribution, outputs, num, temperature)
    warm = mixture_of(outputs[:, :, None].expand(-1, -1, 256), 1, 4, temperature=temperature)
    expected = num * mixture_log_probability(warm, to_signed(ALL_VALUES, DOUBLE)[None, None]).exp()[0]
    counts = torch.bincount(drawn[:, 0].long(), minlength=256).double()
    assert chi_square_is_small(counts, expected)
    assert not chi_square_is_small(counts, expected.roll(3))  # the test would notice


def test_draws_of_coupled_colours_have_their_joint_probabilities() -> None:
    """On a grid of 16 x 16 cells of red and green: the component is shared by the colours of a pixel."""
    distribution, num = LogisticMixture(2, 2), 100_000
    # red and green both dark, or both light: independent components would mix dark with light
    component = [0.0, -0.6, -0.5, -2.5, -2.0, 0.2]
    outputs = torch.tensor([[*component, 0.3, 0.5, 0.6, -2.0, -2.5, -0.4]], dtype=DOUBLE)
    drawn = draw_pixels(distribution, outputs, num).long() // 16
    counts = torch.bincount(drawn[:, 0] * 16 + drawn[:, 1], minlength=256).double()
    pairs = torch.stack(torch.meshgrid(ALL_VALUES, ALL_VALUES, indexing="ij"))[None]
    probability = distribution.log_probability(outputs[:, :, None, None].expand(-1, -1, 256, 256), pairs).exp()[0]
    expected = num * probability.reshape(16, 16, 16, 16).sum((1, 3)).flatten()
    assert chi_square_is_small(counts, expected)
    assert not chi_square_is_small(
        counts, expected.reshape(16, 16).sum(1).outer(expected.reshape(16, 16).sum(0)).flatten() / num
    )


def test_cold_draws_are_the_mode() -> None:
    distribution = LogisticMixture(3, 3)
    outputs = random_outputs(distribution, 1)
    drawn = draw_pixels(distribution, outputs, 100, temperature=1e-5)
    assert (drawn == drawn[0]).all()
    best = mixture_of(outputs, 3, 3).logits.argmax()
    assert drawn[0, 0] == from_signed(outputs[0, 10 * best + 1])


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize(("num_scales", "height", "width"), SIZES)
def test_fast_drawing_is_plain_drawing(num_scales: int, height: int, width: int, colours: int) -> None:
    model = network(num_scales, height, width, colours=colours)

    def draw() -> tuple[Tensor, Tensor]:
        torch.manual_seed(5)
        images = model.sample(4)
        return images, model.complete(images.flip(0), height // 2)

    fast = draw()
    with mock.patch.object(PixelCNNPlusPlus, "predictor", lambda self, num, labels: WholeNetwork(self, labels)):
        plain = draw()
    assert all(torch.equal(one, other) for one, other in zip(fast, plain, strict=True))


@pytest.mark.parametrize(("num_scales", "height", "width"), SIZES)
def test_the_fast_outputs_are_the_plain_ones(num_scales: int, height: int, width: int) -> None:
    """Each pixel asked for twice, which must change nothing."""
    model = network(num_scales, height, width, colours=3)
    images = torch.randint(0, 256, (3, 3, height, width), dtype=torch.uint8)
    predictor = model.predictor(3, None)
    with torch.no_grad():
        expected = model.outputs(images, None)
        for row, column in itertools.product(range(height), range(width)):
            for _ in range(2):
                found = predictor.pixel(images, row, column)
                # Float64: the two add in another order.
                torch.testing.assert_close(found, expected[:, :, row, column], atol=1e-10, rtol=1e-10)


def test_preparation_gives_each_layer_mean_0_and_its_deviation() -> None:
    torch.manual_seed(0)
    model = PixelCNNPlusPlusConfig(features=6, num_blocks=1, num_scales=2, num_components=2, dropout=0.0).build(
        DataSpec(channels=3, height=8, width=8)
    )
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
    model.double().prepare(ImageBatch(images=images))
    seen: dict[WeightNormalised, Tensor] = {}
    for layer in model.modules():
        if isinstance(layer, WeightNormalised):
            layer.register_forward_hook(lambda module, _inputs, outputs: seen.update({module: outputs}))
    model.outputs(images, None)
    assert len(seen) == sum(isinstance(layer, WeightNormalised) for layer in model.modules())
    for layer, outputs in seen.items():
        deviation, mean = torch.std_mean(outputs, (0, 2, 3), correction=0)
        assert mean.abs().max() < 1e-9
        # The guard against features that do not vary makes those that vary little a little smaller.
        assert ((deviation > 0.5 * layer.initial_deviation) & (deviation < layer.initial_deviation)).all()


def test_the_paper_s_network_has_the_paper_s_size() -> None:
    """The layout of the published implementation: 53.7 million weights, lengths and biases for CIFAR-10."""
    with torch.device("meta"):
        model = preset("pixelcnn-plus-plus-32").model.build(DataSpec(channels=3, height=32, width=32))
    assert sum(parameter.numel() for parameter in model.parameters()) == 53_659_080


@pytest.mark.parametrize(
    ("field", "value"),
    [("features", 0), ("num_blocks", 0), ("num_scales", 0), ("num_components", 0), ("dropout", 1.0), ("dropout", -0.1)],
)
def test_a_wrong_setting_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"model\.{field} is {value}"):
        PixelCNNPlusPlusConfig(**{field: value})
