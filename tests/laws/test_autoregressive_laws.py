"""Autoregressive models: causality exact to the bit, probabilities that sum to 1, fast drawing equal to plain."""

import copy
import itertools
import math
from unittest import mock

import pytest
import torch
from autoregressive_cases import BINARY, CASES, EIGHT_BIT, network
from torch import Tensor

from gen_dist.learner import Context, Loss
from gen_dist.models.autoregressive.autoregressive import Autoregressive, WholeNetwork
from gen_dist.types import ImageBatch, Moment

DOUBLE = torch.float64


def labels_for(model: Autoregressive, num: int) -> Tensor | None:
    return torch.arange(num) % model.num_classes if model.num_classes else None


def dependence(model: Autoregressive) -> Tensor:
    """Slopes of each value's outputs (rows) in each value (columns), values in the order in which they are drawn.

    Each row is one number, a random mixture of the outputs, so that no dependence cancels. Where colours share their
    outputs, so do their rows.
    """
    colours, height, width = model.data.shape
    image = torch.randn(1, colours, height, width, dtype=DOUBLE)
    per_colour = model.distribution.num_outputs // colours
    generator = torch.Generator().manual_seed(2)
    mixture = torch.randn(per_colour * colours, dtype=DOUBLE, generator=generator)

    def mixed(inputs: Tensor) -> Tensor:
        outputs = model.predict(inputs, labels_for(model, 1)) * mixture[:, None, None]
        if not model.distribution.asks_for_each_colour:
            return outputs.sum(1, keepdim=True).expand(-1, colours, -1, -1)
        return outputs.reshape(1, colours, per_colour, height, width).sum(2)

    jacobian = torch.autograd.functional.jacobian(mixed, image)
    assert isinstance(jacobian, Tensor)
    num = colours * height * width
    return jacobian[0, :, :, :, 0].permute(1, 2, 0, 4, 5, 3).reshape(num, num)


def every_image(colours: int, height: int, width: int) -> Tensor:
    values = list(itertools.product((0, 255), repeat=colours * height * width))
    return torch.tensor(values, dtype=torch.uint8).reshape(-1, colours, height, width)


PER_COLOUR = [(name, colours) for name, case in CASES.items() for colours in case.colours]


@pytest.mark.parametrize(("name", "colours"), PER_COLOUR)
def test_no_value_sees_the_future(name: str, colours: int) -> None:
    model = network(CASES[name], colours, 4, 5)
    slopes = dependence(model)
    if not model.distribution.asks_for_each_colour:  # then a pixel sees no colour of its own
        pixel = torch.arange(len(slopes)) // colours
        assert (slopes[pixel[:, None] <= pixel] == 0.0).all()
    assert (slopes.triu() == 0.0).all()
    # every value but the first sees the one just before it, where that is in the same row and may be seen
    step = 1 if model.distribution.asks_for_each_colour else colours
    before = slopes.diagonal(-step) != 0.0
    assert before[torch.arange(step, len(slopes)) // colours % 5 != 0].all()


@pytest.mark.parametrize(("name", "colours"), [row for row in PER_COLOUR if not CASES[row[0]].blind])
def test_every_value_sees_the_whole_past(name: str, colours: int) -> None:
    model = network(CASES[name], colours, 4, 4)
    slopes = dependence(model)
    place = torch.arange(len(slopes))
    if not model.distribution.asks_for_each_colour:
        place = place // colours
    past = place[:, None] > place
    assert (slopes[past] != 0.0).all()


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 1, 3), (3, 3, 1)])
@pytest.mark.parametrize("name", BINARY)
def test_probabilities_of_all_binary_images_sum_to_one(name: str, shape: tuple[int, int, int]) -> None:
    if shape[0] not in BINARY[name].colours:
        pytest.skip("this family models grey images only")
    model = network(BINARY[name], *shape)
    log_probability = model.log_probability(every_image(*shape))
    assert log_probability.std() > 0.01  # not simply uniform
    torch.testing.assert_close(log_probability.exp().sum(), torch.ones((), dtype=DOUBLE))


@pytest.mark.parametrize("name", EIGHT_BIT)
def test_probabilities_of_256_values_sum_to_one(name: str) -> None:
    """Over all values of the second of two pixels, and of the first."""
    model = network(EIGHT_BIT[name], 1, 1, 2)
    images = torch.zeros(256, 1, 1, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = 200
    images[:, 0, 0, 1] = torch.arange(256)
    images = torch.cat([images, images.flip(3)])  # the second half varies the first pixel
    labels = labels_for(model, len(images))
    labels = None if labels is None else torch.zeros_like(labels)
    outputs = model.outputs(images, labels)
    pixels = model.distribution.log_probability(outputs, images)
    second, first = pixels[:256, 0, 1].exp().sum(), pixels[256:, 0, 0].exp().sum()
    # Tails of 256 bins in float64 add up to rounding; 1e-9 leaves room for exponentials of large negative logarithms.
    torch.testing.assert_close(torch.stack([first, second]), torch.ones(2, dtype=DOUBLE), atol=1e-9, rtol=0.0)


@pytest.mark.parametrize("name", BINARY)
def test_samples_have_the_model_s_probabilities(name: str) -> None:
    model = network(BINARY[name], 1, 2, 2)
    num = 20_000
    expected = num * model.log_probability(every_image(1, 2, 2)).exp()
    drawn = (model.sample(num) > 0).flatten(1).long() @ torch.tensor([8, 4, 2, 1])
    counts = torch.bincount(drawn, minlength=16).double()
    common = expected > 5.0
    chi_square = ((counts - expected).square() / expected)[common].sum()
    degrees = int(common.sum()) - 1
    assert degrees > 5
    assert chi_square < degrees + 5.0 * math.sqrt(2.0 * degrees)  # five standard deviations


@pytest.mark.parametrize("num_rows", [0, 1])
@pytest.mark.parametrize("name", BINARY)
def test_completions_have_the_model_s_probabilities_given_the_known_rows(name: str, num_rows: int) -> None:
    """For a conditional model too: the known rows say something about the class."""
    model = network(BINARY[name], 1, 2, 2)
    if model.num_classes:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3.0)  # so that classes differ
    num, images = 20_000, every_image(1, 2, 2)
    known = images[4]  # . x above . .
    agrees = (images[:, :, :num_rows] == known[:, :num_rows]).flatten(1).all(1)
    expected = num * model.log_probability(images).masked_fill(~agrees, -math.inf).softmax(0)
    drawn = (model.complete(known.expand(num, -1, -1, -1), num_rows) > 0).flatten(1).long() @ torch.tensor([8, 4, 2, 1])
    counts = torch.bincount(drawn, minlength=16).double()
    assert counts[~agrees].sum() == 0
    common = expected > 5.0
    chi_square = ((counts - expected).square() / expected)[common].sum()
    degrees = int(common.sum()) - 1
    assert degrees > 1
    assert chi_square < degrees + 5.0 * math.sqrt(2.0 * degrees)  # five standard deviations


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("name", "colours"), PER_COLOUR)
def test_fast_drawing_is_plain_drawing(name: str, colours: int, dtype: torch.dtype) -> None:
    """Sample for sample; and completions too."""
    model = network(CASES[name], colours, 6, 5, dtype=dtype)

    def draw() -> tuple[Tensor, Tensor]:
        torch.manual_seed(5)
        images = model.sample(4)
        return images, model.complete(images.flip(2), 3)

    fast, completed = draw()
    with mock.patch.object(type(model), "predictor", lambda self, num, labels: WholeNetwork(self, labels)):
        plain, plainly_completed = draw()
    assert torch.equal(fast, plain)
    assert torch.equal(completed, plainly_completed)
    assert torch.equal(completed[:, :, :3], fast.flip(2)[:, :, :3])
    assert not torch.equal(completed[:, :, 3:], fast.flip(2)[:, :, 3:])


@pytest.mark.parametrize("name", BINARY)
def test_temperature_sharpens(name: str) -> None:
    model = network(BINARY[name], 1, 2, 2)
    condition = labels_for(model, 50)
    cold = model.sample(50, temperature=1e-4, condition=None if condition is None else condition * 0)
    assert (cold == cold[0]).all()  # as good as the mode


@pytest.mark.parametrize("name", CASES)
def test_the_phase_learns_the_likelihood_and_moves_every_weight(name: str) -> None:
    """Its loss is the negative log-likelihood in bits per dimension, given the labels of a conditional model."""
    model = network(CASES[name], CASES[name].colours[-1], 4, 4)
    images = torch.randint(0, 256, (8, *model.data.shape), dtype=torch.uint8)
    labels = labels_for(model, 8)
    (phase,) = model.phases
    signal = phase.signal(ImageBatch(images=images, labels=labels), Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    nats = -model.conditional_log_probability(images, labels).mean().detach()
    torch.testing.assert_close(signal.value.detach(), nats / (model.data.num_dimensions * math.log(2.0)))
    parameters = model.active(phase.player, Moment())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 1.0)
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert not still


@pytest.mark.parametrize("name", CASES)
def test_a_copy_is_independent(name: str) -> None:
    model = network(CASES[name], 1, 2, 2)
    images = torch.randint(0, 256, (2, 1, 2, 2), dtype=torch.uint8)
    before = model.log_probability(images)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert other.phases[0].signal.__self__ is other
    assert torch.equal(model.log_probability(images), before)
