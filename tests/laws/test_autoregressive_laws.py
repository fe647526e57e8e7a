"""Autoregressive models: causality exact to the bit, probabilities that sum to 1, masks equal to their drawing."""

import copy
import itertools
import math

import pytest
import torch
from torch import Tensor

from gen_dist.learner import Context, Loss
from gen_dist.models.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from gen_dist.nn.masked import causal_mask
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64


def pixelcnn(data: DataSpec, config: PixelCNNConfig) -> PixelCNN:
    torch.manual_seed(1)
    return config.build(data).double().eval()


def test_masks_equal_their_drawing() -> None:
    drawn = {
        "A": ["11111", "11111", "11000", "00000", "00000"],
        "B": ["11111", "11111", "11100", "00000", "00000"],
    }
    for kind, rows in drawn.items():
        expected = torch.tensor([[float(cell) for cell in row] for row in rows])
        assert torch.equal(causal_mask(kind, 5, 1, 1, 1)[0, 0], expected)


def test_colour_masks_equal_their_drawing() -> None:
    drawn = {"A": ["000", "100", "110"], "B": ["100", "110", "111"]}
    for kind, rows in drawn.items():
        expected = torch.tensor([[float(cell) for cell in row] for row in rows])
        assert torch.equal(causal_mask(kind, 3, 3, 3, 3)[:, :, 1, 1], expected)
        doubled = expected.repeat_interleave(2, 0).repeat_interleave(4, 1)
        assert torch.equal(causal_mask(kind, 1, 12, 6, 3)[:, :, 0, 0], doubled)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size is 4"):
        causal_mask("A", 4, 1, 1, 1)


@pytest.mark.parametrize("colours", [1, 3])
def test_no_value_sees_the_future(colours: int) -> None:
    """Order the values by row, column, colour: the Jacobian of the logits is strictly lower triangular, exactly."""
    height, width = 4, 5
    config = PixelCNNConfig(features=48, output_features=48, num_blocks=2, first_kernel_size=5)
    model = pixelcnn(DataSpec(channels=colours, height=height, width=width), config)
    image = torch.randn(1, colours, height, width, dtype=DOUBLE)

    def mixed_logits(values: Tensor) -> Tensor:
        """One number per value, a random mixture of its 256 logits, so that no dependence cancels."""
        generator = torch.Generator().manual_seed(2)
        mixture = torch.randn(256, dtype=DOUBLE, generator=generator)
        logits = model.predict(values, None).unflatten(1, (colours, 256))
        return torch.einsum("bckhw,k->bchw", logits, mixture)

    jacobian = torch.autograd.functional.jacobian(mixed_logits, image)
    assert isinstance(jacobian, Tensor)
    num = colours * height * width
    # (c, h, w) to (h, w, c) on both sides: the order in which values are drawn
    ordered = jacobian[0, :, :, :, 0].permute(1, 2, 0, 4, 5, 3).reshape(num, num)
    assert (ordered.triu() == 0.0).all()
    # and every value but the first sees the one just before it, where that is in reach (same row)
    reached = ordered.diagonal(-1) != 0.0
    same_row = torch.arange(1, num) % (width * colours) != 0
    assert reached[same_row].all()


def test_the_reach_equals_its_drawing() -> None:
    """What the middle pixel sees through a 3x3 mask A and one residual block; the hole is the paper's blind spot."""
    drawn = ["11111", "11110", "11000", "00000", "00000"]
    config = PixelCNNConfig(features=32, output_features=32, num_blocks=1, first_kernel_size=3)
    model = pixelcnn(DataSpec(channels=1, height=5, width=5), config)
    image = torch.randn(1, 1, 5, 5, dtype=DOUBLE, requires_grad=True)
    (slope,) = torch.autograd.grad(model.predict(image, None)[0, :, 2, 2].square().sum(), image)
    expected = torch.tensor([[cell == "1" for cell in row] for row in drawn])
    assert torch.equal(slope[0, 0] != 0.0, expected)


@pytest.mark.parametrize(("colours", "height", "width"), [(1, 3, 3), (3, 1, 3), (3, 3, 1)])
def test_probabilities_of_all_binary_images_sum_to_one(colours: int, height: int, width: int) -> None:
    config = PixelCNNConfig(likelihood="bernoulli", features=12, output_features=6, num_blocks=1, first_kernel_size=3)
    model = pixelcnn(DataSpec(channels=colours, height=height, width=width), config)
    every = torch.tensor(list(itertools.product((0, 255), repeat=colours * height * width)), dtype=torch.uint8)
    log_probability = model.log_probability(every.reshape(-1, colours, height, width))
    assert log_probability.std() > 0.01  # not simply uniform
    torch.testing.assert_close(log_probability.exp().sum(), torch.ones((), dtype=DOUBLE))


def test_probabilities_of_256_values_sum_to_one() -> None:
    """Over all 65,536 images of two pixels."""
    config = PixelCNNConfig(features=8, output_features=8, num_blocks=1, first_kernel_size=3)
    model = pixelcnn(DataSpec(channels=1, height=1, width=2), config)
    first, second = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    images = torch.stack([first.flatten(), second.flatten()], 1).to(torch.uint8).reshape(-1, 1, 1, 2)
    total = sum(model.log_probability(part).exp().sum() for part in images.split(16_384))
    torch.testing.assert_close(total, torch.ones((), dtype=DOUBLE))


def test_samples_have_the_model_s_probabilities() -> None:
    config = PixelCNNConfig(likelihood="bernoulli", features=8, output_features=8, num_blocks=1, first_kernel_size=3)
    model = pixelcnn(DataSpec(channels=1, height=2, width=2), config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)  # away from uniform
    every = torch.tensor(list(itertools.product((0, 255), repeat=4)), dtype=torch.uint8).reshape(-1, 1, 2, 2)
    num = 20_000
    expected = num * model.log_probability(every).exp()
    drawn = (model.sample(num) > 0).flatten(1).long() @ torch.tensor([8, 4, 2, 1])
    counts = torch.bincount(drawn, minlength=16).double()
    assert expected.min() > 5.0
    chi_square = ((counts - expected).square() / expected).sum()
    assert chi_square < 15 + 5.0 * math.sqrt(30.0)  # 15 degrees of freedom: five standard deviations


def test_temperature_sharpens() -> None:
    config = PixelCNNConfig(likelihood="bernoulli", features=8, output_features=8, num_blocks=0, first_kernel_size=3)
    model = pixelcnn(DataSpec(channels=1, height=2, width=2), config)
    cold = model.sample(50, temperature=1e-3)
    assert (cold == cold[0]).all()  # as good as the mode


def test_a_low_probability_is_learned_away_by_the_phase() -> None:
    """The phase's loss is the negative log-likelihood in bits per dimension, and its gradient moves every weight."""
    data = DataSpec(channels=3, height=4, width=4)
    model = pixelcnn(data, PixelCNNConfig(features=12, output_features=12, num_blocks=1, first_kernel_size=3))
    images = torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8)
    (phase,) = model.phases
    signal = phase.signal(ImageBatch(images=images), Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    expected = -model.log_probability(images).mean() / (data.num_dimensions * math.log(2.0))
    torch.testing.assert_close(signal.value.detach(), expected)
    parameters = model.active(phase.player, Moment())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 1.0)
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert not still
    masked = model.enter
    assert (masked.weight.grad[masked.mask == 0] == 0).all()


def test_a_copy_is_independent() -> None:
    model = pixelcnn(DataSpec(channels=1, height=2, width=2), PixelCNNConfig(features=8, output_features=8))
    images = torch.randint(0, 256, (2, 1, 2, 2), dtype=torch.uint8)
    before = model.log_probability(images)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert other.phases[0].signal.__self__ is other
    assert torch.equal(model.log_probability(images), before)
