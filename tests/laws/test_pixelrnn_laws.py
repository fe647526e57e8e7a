"""PixelRNN: its LSTMs visit pixels as drawn, equal a slow loop over them, and see what the paper says."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from gen_dist.models.autoregressive.pixelrnn import PixelRNNConfig
from gen_dist.nn.recurrent import DiagonalBiLSTM, InputToState, RowLSTM
from gen_dist.nn.scan import Sweep, diagonal_sweep, row_sweep, scan
from gen_dist.types import DataSpec

DOUBLE = torch.float64
SIZES = [(4, 5), (5, 3), (1, 4), (4, 1), (1, 1)]


def line_numbers(sweep: Sweep, height: int, width: int) -> Tensor:
    """The number of each pixel's line; -1 where there is none."""
    numbers = torch.full(((height + 1) * (width + 2),), -1)
    for number, line in enumerate(sweep.lines):
        assert (numbers[line] == -1).all()
        numbers[line] = number
    numbers = numbers.view(height + 1, width + 2)
    assert (numbers[0] == -1).all()
    assert (numbers[:, [0, -1]] == -1).all()
    return numbers[1:, 1:-1]


def test_lines_equal_their_drawing() -> None:
    rows, diagonals = ["0000", "1111", "2222"], ["0123", "1234", "2345"]
    for sweep, drawn in ((row_sweep(3, 4), rows), (diagonal_sweep(3, 4), diagonals)):
        expected = torch.tensor([[int(cell) for cell in row] for row in drawn])
        assert torch.equal(line_numbers(sweep, 3, 4), expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_diagonals_are_the_columns_of_the_skewed_map(height: int, width: int) -> None:
    """As the paper says it: each row is moved one place further right than the one above, and back at the end."""
    pixels = torch.arange(1, height * width + 1).view(height, width)
    skewed = torch.zeros(height, width + height - 1, dtype=torch.long)
    for row in range(height):
        skewed[row, row : row + width] = pixels[row]
    flat = torch.zeros(height + 1, width + 2, dtype=torch.long)
    flat[1:, 1:-1] = pixels
    lines = diagonal_sweep(height, width).lines
    assert len(lines) == height + width - 1
    for column, line in zip(skewed.T, lines, strict=True):
        assert flat.flatten()[line].tolist() == column[column > 0].tolist()


def slow_gates(layer: InputToState, features: Tensor, row: int, column: int) -> Tensor:
    """Input-to-state at one pixel, direction by direction: (images, directions, gates)."""
    gates = layer.bias.expand(len(features), -1)
    kernel = layer.weight * layer.mask
    for back in range(kernel.shape[3]):
        if column - back >= 0:
            gates = gates + features[:, :, row, column - back] @ kernel[:, :, 0, -1 - back].T
    return gates.unflatten(1, (layer.num_directions, -1))


def slow_lstm(
    gates: dict[tuple[int, int], Tensor], weight: Tensor, taps: list[tuple[int, int]], carry: tuple[int, int]
) -> dict[tuple[int, int], Tensor]:
    """Equation 3 pixel by pixel, in any order in which `gates` lists the pixels; states outside are zero."""
    hidden: dict[tuple[int, int], Tensor] = {}
    cell: dict[tuple[int, int], Tensor] = {}
    for (row, column), from_input in gates.items():
        nothing = torch.zeros(len(from_input), weight.shape[1] // 4, dtype=DOUBLE)
        seen = [hidden.get((row + down, column + right), nothing) for down, right in taps]
        output, forget, admit, content = (from_input + torch.cat(seen, 1) @ weight).chunk(4, 1)
        kept = cell.get((row + carry[0], column + carry[1]), nothing) * forget.sigmoid()
        cell[row, column] = kept + admit.sigmoid() * content.tanh()
        hidden[row, column] = output.sigmoid() * cell[row, column].tanh()
    return hidden


def slow_row_lstm(layer: RowLSTM, features: Tensor) -> Tensor:
    height, width = features.shape[2:]
    pixels = list(itertools.product(range(height), range(width)))
    gates = {pixel: slow_gates(layer.input_to_state, features, *pixel)[:, 0] for pixel in pixels}
    hidden = slow_lstm(gates, layer.state_to_state[0], [(-1, -1), (-1, 0), (-1, 1)], (-1, 0))
    return torch.stack([hidden[pixel] for pixel in pixels], 2).unflatten(2, (height, width))


def slow_diagonal_bilstm(layer: DiagonalBiLSTM, features: Tensor) -> Tensor:
    height, width = features.shape[2:]
    pixels = list(itertools.product(range(height), range(width)))
    from_right = list(itertools.product(range(height), reversed(range(width))))
    left = {pixel: slow_gates(layer.input_to_state, features, *pixel)[:, 0] for pixel in pixels}
    right = {pixel: slow_gates(layer.input_to_state, features, *pixel)[:, 1] for pixel in from_right}
    hidden = slow_lstm(left, layer.state_to_state[0], [(-1, 0), (0, -1)], (0, -1))
    above = slow_lstm(right, layer.state_to_state[1], [(-1, 0), (0, 1)], (0, 1))
    nothing = torch.zeros_like(hidden[0, 0])
    sums = [hidden[row, column] + above.get((row - 1, column), nothing) for row, column in pixels]
    return torch.stack(sums, 2).unflatten(2, (height, width))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize(("kind", "slow"), [(RowLSTM, slow_row_lstm), (DiagonalBiLSTM, slow_diagonal_bilstm)])
def test_a_layer_equals_a_slow_loop_over_pixels(
    kind: type, slow: object, colours: int, height: int, width: int
) -> None:
    """The states, and their gradients with respect to the input and all weights."""
    torch.manual_seed(2)
    layer = kind(6, 3, num_colours=colours).double()
    features = torch.randn(2, 6, height, width, dtype=DOUBLE, requires_grad=True)
    found, expected = layer(features), slow(layer, features)
    assert found.shape == (2, 3, height, width)
    torch.testing.assert_close(found, expected)
    mixture = torch.randn(found.shape, dtype=DOUBLE)
    sources = (features, *layer.parameters())
    # One pixel has no neighbours: nothing depends on the state-to-state weights there.
    slopes = [torch.autograd.grad((y * mixture).sum(), sources, allow_unused=True) for y in (found, expected)]
    for slope, reference in zip(*slopes, strict=True):
        torch.testing.assert_close(slope, torch.zeros_like(slope) if reference is None else reference)


def test_the_backward_pass_equals_finite_differences() -> None:
    torch.manual_seed(3)
    gates = torch.randn(2, 2, 3, 1, 8, dtype=DOUBLE, requires_grad=True)
    for sweep, num_taps in ((row_sweep(2, 3), 3), (diagonal_sweep(2, 3), 2)):
        weight = torch.randn(2, 2 * num_taps, 8, dtype=DOUBLE, requires_grad=True)
        assert torch.autograd.gradcheck(lambda g, w, s=sweep: scan(g, w, s), (gates, weight))


def test_a_graph_can_be_walked_twice() -> None:
    layer = RowLSTM(4, 2, num_colours=1).double()
    features = torch.randn(1, 4, 3, 3, dtype=DOUBLE, requires_grad=True)
    loss = layer(features).square().sum()
    first = torch.autograd.grad(loss, features, retain_graph=True)
    assert torch.equal(first[0], torch.autograd.grad(loss, features)[0])


@pytest.mark.parametrize(
    ("kind", "drawn"),
    [
        (RowLSTM, ["1111110", "0111100", "0011000", "0000000"]),
        (DiagonalBiLSTM, ["1111111", "1111111", "1111000", "0000000"]),
    ],
)
def test_what_one_layer_sees_equals_its_drawing(kind: type, drawn: list[str]) -> None:
    """From column 3 of row 2: the paper's triangle (figure 4, with one pixel more to the left), and everything."""
    torch.manual_seed(4)
    layer: nn.Module = kind(6, 3, num_colours=1).double()
    features = torch.randn(1, 6, 4, 7, dtype=DOUBLE, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(features)[0, :, 2, 3].square().sum(), features)
    expected = torch.tensor([[cell == "1" for cell in row] for row in drawn])
    assert torch.equal((slope[0] != 0.0).all(0), expected)
    assert torch.equal((slope[0] != 0.0).any(0), expected)


@pytest.mark.parametrize("colours", [1, 3])
def test_rows_see_the_triangle_above_and_nothing_else(colours: int) -> None:
    """Two layers on a 3x3 mask A; exactly zero outside, and nowhere zero inside."""
    torch.manual_seed(1)
    config = PixelRNNConfig(features=48, output_features=48, num_layers=2, first_kernel_size=3)
    model = config.build(DataSpec(channels=colours, height=4, width=6)).double()
    image = torch.randn(1, colours, 4, 6, dtype=DOUBLE)
    mixture = torch.randn(256, dtype=DOUBLE)

    def mixed_logits(values: Tensor) -> Tensor:
        return torch.einsum("bckhw,k->bchw", model.predict(values, None).unflatten(1, (colours, 256)), mixture)

    jacobian = torch.autograd.functional.jacobian(mixed_logits, image)
    assert isinstance(jacobian, Tensor)
    num = colours * 24
    ordered = jacobian[0, :, :, :, 0].permute(1, 2, 0, 4, 5, 3).reshape(num, num)  # as the values are drawn
    place = torch.arange(num)
    row, column = place // colours // 6, place // colours % 6
    down, left = row[:, None] - row, column[:, None] - column
    # To the right the triangle opens by one pixel per row. To the left too, and each layer adds one pixel: mask A's
    # convolution and two LSTMs.
    expected = (-left <= down) & (left <= 3 + down) & (place[:, None] > place)
    assert torch.equal(ordered != 0.0, expected)


def test_colours_that_do_not_divide_the_features_are_refused() -> None:
    with pytest.raises(ValueError, match="features / 2 is 16"):
        PixelRNNConfig(features=32).build(DataSpec(channels=3, height=4, width=4))
    with pytest.raises(ValueError, match="num_layers is 0"):
        PixelRNNConfig(num_layers=0)
