"""Multi-scale PixelCNN: disjoint scales whose probabilities multiply to the image's; samples that agree with them."""

import itertools
import math
from unittest import mock

import pytest
import torch
from torch import Tensor

from gen_dist.learner import Context, Loss
from gen_dist.models.autoregressive.autoregressive import network_input
from gen_dist.models.autoregressive.multiscale import MultiScale, MultiScaleConfig, Scale, Upsampling, num_scales
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64


def model_of(shape: tuple[int, int, int], **changes: object) -> MultiScale:
    """Narrow networks, far from their initial state."""
    settings = {"features": 24, "num_blocks": 1, "first_kernel_size": 3, "output_features": 24, "map_features": 12}
    torch.manual_seed(1)
    model = MultiScaleConfig(**(settings | changes)).build(DataSpec(channels=shape[0], height=shape[1], width=shape[2]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.02 * torch.randn_like(parameter))
    return model.double().eval()


def scale_of(model: MultiScale, name: str) -> Scale:
    module = model.players[name].module
    assert isinstance(module, Scale)
    return module


def every_image(colours: int, height: int, width: int) -> Tensor:
    values = list(itertools.product((0, 255), repeat=colours * height * width))
    return torch.tensor(values, dtype=torch.uint8).reshape(-1, colours, height, width)


@pytest.mark.parametrize(
    ("height", "width", "at_most", "expected"),
    [(28, 28, 5, 3), (28, 28, 2, 2), (8, 8, 9, 4), (7, 8, 3, 1), (2, 2, 5, 2), (1, 1, 5, 1), (32, 12, 9, 3)],
)
def test_an_odd_side_ends_the_halvings(height: int, width: int, at_most: int, expected: int) -> None:
    assert num_scales(height, width, at_most) == expected


def test_the_scales_equal_their_drawing() -> None:
    scale = scale_of(model_of((1, 4, 4)), "4x4")
    drawn = ["s.s.", "....", "s.s.", "...."]
    assert torch.equal(scale.known, torch.tensor([[cell == "s" for cell in row] for row in drawn]))


def test_each_value_belongs_to_one_scale() -> None:
    model = model_of((3, 12, 8), num_scales=3)
    assert list(model.players) == ["3x2", "6x4", "12x8"]
    assert sum(scale_of(model, name).num_dimensions for name in model.players) == model.data.num_dimensions
    covered = torch.zeros(12, 8, dtype=torch.long)
    for name in model.players:
        scale = scale_of(model, name)
        covered[:: scale.stride, :: scale.stride] += (~scale.known).long()
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("shape", "scales"), [((1, 4, 2), 2), ((1, 2, 4), 2), ((3, 2, 2), 2), ((1, 3, 3), 1), ((1, 2, 2), 1)]
)
def test_probabilities_of_all_binary_images_sum_to_one(shape: tuple[int, int, int], scales: int) -> None:
    model = model_of(shape, likelihood="bernoulli", num_scales=scales)
    assert len(model.phases) == scales
    log_probability = model.log_probability(every_image(*shape))
    assert log_probability.std() > 0.01  # not simply uniform
    torch.testing.assert_close(log_probability.exp().sum(), torch.ones((), dtype=DOUBLE))


def test_three_scales_sum_to_one() -> None:
    """4 x 4 images are too many to list: sum each scale over what it adds, given a few smaller images."""
    model = model_of((1, 4, 4), likelihood="bernoulli", num_scales=3)
    middle = scale_of(model, "2x2")
    for smallest in (0, 255):
        added = torch.zeros(8, 1, 4, 4, dtype=torch.uint8)
        added[:, 0, 0, 0] = smallest
        three = every_image(1, 1, 3).reshape(8, 3)
        added[:, 0, 0, 2], added[:, 0, 2, 0], added[:, 0, 2, 2] = three.unbind(1)
        torch.testing.assert_close(middle.log_probability(added).exp().sum(), torch.ones((), dtype=DOUBLE))
    largest, known = scale_of(model, "4x4"), torch.tensor([[[255, 0], [0, 255]]], dtype=torch.uint8)
    images = torch.zeros(4096, 1, 4, 4, dtype=torch.uint8)
    images[:, :, ~largest.known] = every_image(1, 1, 12)[:, 0]
    images[:, :, ::2, ::2] = known
    torch.testing.assert_close(largest.log_probability(images).exp().sum(), torch.ones((), dtype=DOUBLE))


def test_the_smaller_image_reaches_every_pixel_and_no_other_later_one_does() -> None:
    """Of a pixel of the larger scale: the smaller image, wherever it lies, and earlier pixels; nothing else."""
    model = model_of((1, 4, 4), num_blocks=3)
    scale = scale_of(model, "4x4")
    place = torch.arange(16).reshape(4, 4)
    inputs = torch.randn(1, 1, 4, 4, dtype=DOUBLE, requires_grad=True)
    upsampling = scale.upsampling
    assert isinstance(upsampling, Upsampling)
    for row, column in itertools.product(range(4), range(4)):
        outputs = scale.network(inputs, None, upsampling(inputs[:, :, ::2, ::2]))
        (slope,) = torch.autograd.grad(outputs[0, :, row, column].square().sum(), inputs)
        seen = slope[0, 0] != 0.0
        assert torch.equal(seen, (place < 4 * row + column) | scale.known), (row, column)


def test_samples_have_the_model_s_probabilities() -> None:
    model = model_of((1, 4, 2), likelihood="bernoulli")
    num = 20_000
    expected = num * model.log_probability(every_image(1, 4, 2)).exp()
    drawn = (model.sample(num) > 0).flatten(1).long() @ 2 ** torch.arange(7, -1, -1)
    counts = torch.bincount(drawn, minlength=256).double()
    common = expected > 5.0
    chi_square = ((counts - expected).square() / expected)[common].sum()
    degrees = int(common.sum()) - 1
    assert degrees > 20
    assert chi_square < degrees + 5.0 * math.sqrt(2.0 * degrees)  # five standard deviations


class WholeNetwork:
    """The whole network for each pixel."""

    def __init__(self, scale: Scale, pixels: Tensor) -> None:
        self.scale, self.condition_map = scale, scale.condition_map(pixels)

    def pixel(self, values: Tensor, row: int, column: int) -> Tensor:
        inputs = network_input(values, self.scale.distribution.likelihood_of, DOUBLE)
        return self.scale.network(inputs, None, self.condition_map)[:, :, row, column]


@pytest.mark.parametrize("colours", [1, 3])
def test_fast_drawing_is_plain_drawing(colours: int) -> None:
    """Sample for sample."""
    model = model_of((colours, 8, 4), num_scales=3)
    torch.manual_seed(5)
    fast = model.sample(4)
    torch.manual_seed(5)
    with mock.patch.object(Scale, "predictor", lambda scale, pixels: WholeNetwork(scale, pixels)):
        plain = model.sample(4)
    assert torch.equal(plain, fast)


def test_larger_scales_keep_the_smaller_image() -> None:
    model = model_of((1, 8, 8), num_scales=2)
    torch.manual_seed(5)
    whole = model.sample(3)
    small = model_of((1, 4, 4), num_scales=1)
    small.scales[0].load_state_dict(model.scales[0].state_dict())
    torch.manual_seed(5)
    assert torch.equal(small.sample(3), whole[:, :, ::2, ::2])


def test_each_phase_learns_what_its_scale_adds() -> None:
    """The phases' losses, weighed by their numbers of values, are the bits per dimension of the whole image."""
    model = model_of((3, 8, 8), num_scales=3)
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    total = torch.zeros((), dtype=DOUBLE)
    for phase in model.phases:
        signal = phase.signal(ImageBatch(images=images), Context(Moment(), 0, 0, {}))
        assert isinstance(signal, Loss)
        total += signal.value.detach() * scale_of(model, phase.player).num_dimensions
        gradients = torch.autograd.grad(signal.value, model.active(phase.player, Moment()))
        assert all(gradient.abs().sum() > 0 for gradient in gradients)
    torch.testing.assert_close(total * math.log(2.0), -model.log_probability(images).mean())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_scales": 0}, "num_scales is 0"),
        ({"first_kernel_size": 4}, "first_kernel_size is 4"),
        ({"num_blocks": -1}, "num_blocks is -1"),
        ({"features": 20}, "features is 20: images with 3 colours"),
    ],
)
def test_settings_that_can_t_be_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_of((3, 4, 4), **changes)
