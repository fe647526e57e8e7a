"""PixelCNN: masks equal their drawing, and so does what a pixel sees."""

import pytest
import torch

from gen_dist.models.autoregressive.pixelcnn import PixelCNNConfig
from gen_dist.nn.masked import causal_mask
from gen_dist.types import DataSpec


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


@pytest.mark.parametrize("size", [1, 4])
def test_a_first_kernel_that_sees_no_neighbour_or_has_no_centre_is_refused(size: int) -> None:
    """Behind a 1x1 mask A no layer would ever see the image."""
    with pytest.raises(ValueError, match=f"first_kernel_size is {size}"):
        PixelCNNConfig(first_kernel_size=size)


def test_the_reach_equals_its_drawing() -> None:
    """What the middle pixel sees through a 3x3 mask A and one residual block; the hole is the paper's blind spot."""
    drawn = ["11111", "11110", "11000", "00000", "00000"]
    config = PixelCNNConfig(features=32, output_features=32, num_blocks=1, first_kernel_size=3)
    model = config.build(DataSpec(channels=1, height=5, width=5)).double()
    image = torch.randn(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(model.predict(image, None)[0, :, 2, 2].square().sum(), image)
    expected = torch.tensor([[cell == "1" for cell in row] for row in drawn])
    assert torch.equal(slope[0, 0] != 0.0, expected)


def test_masked_weights_do_not_move() -> None:
    model = PixelCNNConfig(features=12, output_features=12, num_blocks=1).build(DataSpec(channels=3, height=4, width=4))
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    model.conditional_log_probability(images, None).sum().backward()
    gradient = model.enter.weight.grad
    assert gradient is not None
    assert (gradient[model.enter.mask == 0] == 0).all()
    assert (gradient[model.enter.mask == 1] != 0).any()
