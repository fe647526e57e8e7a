"""Gated convolutions: no blind spot, colours in order, and the same numbers pixel by pixel as all at once."""

import math

import pytest
import torch
from torch import Tensor

from gen_dist.capabilities import Conditions
from gen_dist.learner import Context, Loss
from gen_dist.models.autoregressive.gated_pixelcnn import GatedPixelCNN, GatedPixelCNNConfig
from gen_dist.nn.gated import GatedNetwork, gate
from gen_dist.nn.incremental_gated import IncrementalGatedNetwork
from gen_dist.types import DataSpec, ImageBatch, Moment

DOUBLE = torch.float64


def network(channels: int, **changes: int) -> GatedNetwork:
    torch.manual_seed(1)
    settings = {"features": 24, "num_blocks": 2, "num_outputs": 6, "first_kernel_size": 3, "output_features": 24}
    settings |= {"num_colours": channels} | changes
    return GatedNetwork(channels, **settings).double().eval()


def seen_from(model: GatedNetwork, row: int, column: int, height: int, width: int) -> Tensor:
    """Which input pixels the outputs at a pixel depend on."""
    inputs = torch.randn(1, model.channels_in, height, width, dtype=DOUBLE, requires_grad=True)
    (slope,) = torch.autograd.grad(model(inputs)[0, :, row, column].square().sum(), inputs)
    return slope[0].abs().sum(0) != 0.0


def test_the_reach_equals_its_drawing() -> None:
    drawn = ["0111110", "0111110", "0110000", "0000000"]
    model = network(1, num_blocks=1)
    expected = torch.tensor([[cell == "1" for cell in row] for row in drawn])
    assert torch.equal(seen_from(model, 2, 3, 4, 7), expected)


def test_nothing_earlier_is_out_of_sight() -> None:
    """From every pixel of a 6 x 5 map, the whole legal context and nothing else: there is no blind spot."""
    height, width = 6, 5
    model = network(1, num_blocks=4)
    for row in range(height):
        for column in range(width):
            legal = torch.arange(height * width).reshape(height, width) < row * width + column
            assert torch.equal(seen_from(model, row, column, height, width), legal)


@pytest.mark.parametrize("num_blocks", [0, 3])
def test_colours_come_one_after_the_other(num_blocks: int) -> None:
    """Between the colours of one pixel the Jacobian is strictly lower triangular, and full below the diagonal."""
    model = network(3, num_blocks=num_blocks)
    inputs = torch.randn(1, 3, 3, 3, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda values: model(values)[0, :, 1, 1], inputs)
    assert isinstance(jacobian, Tensor)
    at_the_pixel = jacobian[:, 0, :, 1, 1].reshape(3, 2, 3).abs().amax(1)
    assert torch.equal(at_the_pixel != 0.0, torch.ones(3, 3).tril(-1).bool())
    earlier = jacobian[:, 0, :, 1, 0].reshape(3, 2, 3)
    if num_blocks:  # with a left neighbour's colours, all are seen
        assert (earlier != 0.0).all()


def test_several_channels_of_one_colour_are_hidden_together() -> None:
    """As for embedded codes: five channels, none of which the pixel's own outputs may see."""
    seen = seen_from(network(5, num_colours=1), 1, 1, 3, 3)
    assert torch.equal(seen, torch.tensor([[True, True, True], [True, False, False], [False, False, False]]))


def test_a_gate_is_tanh_times_sigmoid_within_each_colour() -> None:
    features = torch.randn(2, 12, 3, dtype=DOUBLE)
    red, green, blue = features.chunk(3, 1)
    expected = [torch.tanh(colour[:, :2]) * torch.sigmoid(colour[:, 2:]) for colour in (red, green, blue)]
    torch.testing.assert_close(gate(features, 3), torch.cat(expected, 1), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("place", ["condition", "condition_map"])
@pytest.mark.parametrize("num_blocks", [0, 2])
def test_conditions_reach_every_pixel_but_break_no_order(place: str, num_blocks: int) -> None:
    model = network(1, num_blocks=num_blocks, num_conditions=4, map_features=2)
    condition, condition_map = torch.randn(1, 4, dtype=DOUBLE), torch.randn(1, 2, 3, 3, dtype=DOUBLE)
    chosen = {"condition": condition, "condition_map": condition_map}[place].requires_grad_()
    inputs = torch.randn(1, 1, 3, 3, dtype=DOUBLE, requires_grad=True)
    for row in range(3):
        for column in range(3):
            output = model(inputs, condition, condition_map)[0, :, row, column].square().sum()
            slopes = torch.autograd.grad(output, [chosen, inputs], materialize_grads=True)
            mine = slopes[0] if place == "condition" else slopes[0][:, :, row, column]
            assert (mine != 0.0).all()
            assert (slopes[1].flatten()[3 * row + column :] == 0.0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("colours", [1, 3])
def test_pixel_by_pixel_equals_all_at_once(dtype: torch.dtype, tolerance: float, colours: int) -> None:
    """Sums in another order, of numbers of about 1; each pixel is asked for twice, first with its colours unknown."""
    model = network(colours, num_blocks=3, first_kernel_size=5, num_conditions=4, map_features=2).to(dtype)
    inputs = torch.randn(2, colours, 6, 5, dtype=dtype)
    condition, condition_map = torch.randn(2, 4, dtype=dtype), torch.randn(2, 2, 6, 5, dtype=dtype)
    with torch.no_grad():
        expected = model(inputs, condition, condition_map)
        stepped = IncrementalGatedNetwork(model, 2, 6, 5, condition=condition, condition_map=condition_map)
        for row in range(6):
            for column in range(5):
                pixel = inputs[:, :, row, column]
                stepped.at(row, column, torch.full_like(pixel, 9.0))
                found = stepped.at(row, column, pixel)
                torch.testing.assert_close(found, expected[:, :, row, column], rtol=tolerance, atol=tolerance)


def test_what_turned_out_later_counts_for_the_next_pixel() -> None:
    model = network(1)
    inputs = torch.randn(2, 1, 3, 4, dtype=DOUBLE)
    unknown = torch.zeros(2, 1, dtype=DOUBLE)
    with torch.no_grad():
        expected = model(inputs)
        stepped = IncrementalGatedNetwork(model, 2, 3, 4)
        for row in range(3):
            for column in range(4):
                found = stepped.at(row, column, unknown)
                stepped.write(row, column, inputs[:, :, row, column])
                torch.testing.assert_close(found, expected[:, :, row, column], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_blocks", [0, 2])
def test_every_parameter_has_a_gradient(num_blocks: int) -> None:
    model = network(3, num_blocks=num_blocks, num_conditions=2, map_features=2)
    outputs = model(*(torch.randn(shape, dtype=DOUBLE) for shape in ((2, 3, 4, 4), (2, 2), (2, 2, 4, 4))))
    gradients = torch.autograd.grad(outputs.square().sum(), list(model.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def conditional(**changes: object) -> GatedPixelCNN:
    """A Bernoulli model of 2 x 2 images of two classes."""
    torch.manual_seed(1)
    settings = {"likelihood": "bernoulli", "class_conditional": True, "features": 8, "num_blocks": 1}
    config = GatedPixelCNNConfig(**(settings | {"output_features": 16} | changes))
    return config.build(DataSpec(channels=1, height=2, width=2, class_names=("dark", "light"))).double().eval()


def test_the_class_changes_the_logits_of_every_pixel() -> None:
    model = conditional()
    images = torch.randint(0, 256, (1, 1, 2, 2), dtype=torch.uint8).expand(2, -1, -1, -1)
    dark, light = model.outputs(images, torch.tensor([0, 1]))
    assert ((dark - light).abs() > 1e-3).all()


def test_a_conditional_model_learns_its_classes() -> None:
    """Dark images are black, light ones white; then a class is drawn on request, and the mixture scores both alike."""
    model = conditional()
    labels = torch.arange(8) % 2
    images = (255 * labels).to(torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    batch = ImageBatch(images=images, labels=labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        signal = model.phases[0].signal(batch, Context(Moment(), 0, 0, {}))
        assert isinstance(signal, Loss)
        signal.value.backward()
        optimizer.step()
    assert signal.value < 0.05  # bits for each value; without classes it could not fall below 1 / 4
    wanted = torch.tensor([0] * 20 + [1] * 20)
    drawn = model.sample(40, condition=wanted) > 0
    assert torch.equal(drawn.flatten(1).double().mean(1).round().long(), wanted)
    each = model.log_probability(images[:2])
    torch.testing.assert_close(each, torch.full((2,), math.log(0.5), dtype=DOUBLE), atol=0.15, rtol=0.0)


def test_labels_are_asked_for_where_they_are_needed() -> None:
    plain = DataSpec(channels=1, height=2, width=2)
    with pytest.raises(ValueError, match="class_conditional is True"):
        GatedPixelCNNConfig(class_conditional=True).build(plain)
    unlabelled = ImageBatch(images=torch.zeros(2, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match="needs labels"):
        conditional().negative_log_likelihood(unlabelled, Context(Moment(), 0, 0, {}))
    with pytest.raises(ValueError, match="unconditional"):
        conditional(class_conditional=False).sample(2, condition=torch.tensor([0, 1]))
    for labels in ([0, 2], [-1, 0], [0.0, 1.0]):
        with pytest.raises(ValueError, match="integers from 0 to 1"):
            conditional().sample(2, condition=torch.tensor(labels))


@pytest.mark.parametrize("class_conditional", [True, False])
def test_it_says_whether_it_draws_for_labels(class_conditional: bool) -> None:
    model = conditional(class_conditional=class_conditional)
    assert isinstance(model, Conditions)
    assert model.condition_kind == ("label" if class_conditional else "none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 0}, "features is 0"),
        ({"num_blocks": -1}, "num_blocks is -1"),
        ({"kernel_size": 4}, "kernel_size is 4"),
        ({"output_features": 32}, "output_features is 32: images with 3 colours"),
    ],
)
def test_settings_that_can_t_be_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GatedPixelCNNConfig(**changes).build(DataSpec(channels=3, height=2, width=2))
