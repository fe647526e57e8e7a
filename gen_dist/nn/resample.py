"""How often an image can be halved, which decides the depth of a convolutional network; doublings by pixel shuffle."""

from torch import nn


def num_halvings(height: int, width: int, smallest: int) -> int:
    """Times that height x width can be halved before a side is shorter than `2 * smallest`.

    So 64 x 64 with `smallest` 4 takes four halvings: 64, 32, 16, 8, 4.

    Raises:
        ValueError: a side is odd before the end, or there is no halving at all; the message says which sizes work.
    """
    halvings = 0
    while min(height, width) >> halvings >= 2 * smallest:
        halvings += 1
    if halvings == 0 or height % (1 << halvings) or width % (1 << halvings):
        raise ValueError(
            f"images of {height} x {width} pixels can't be halved evenly down to {smallest} pixels or a little more: "
            f"sides that work are {', '.join(map(str, _sizes(smallest)))} and so on (a number from {smallest} to "
            f"{2 * smallest - 1} times a power of two); resize the images, or change base_size"
        )
    return halvings


def pixel_shuffle_doubling(num_inputs: int, num_outputs: int) -> nn.Sequential:
    """Feature maps of twice the size by sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158).

    A convolution makes four times the channels, and every four channels become a block of 2 x 2 pixels. Each of the
    four draws its own first weights, so that a checkerboard may be visible at first; initialising them alike (ICNR,
    Aitken et al. 2017, arXiv:1707.02937) is left out.
    """
    convolution = nn.Conv2d(num_inputs, 4 * num_outputs, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution, nn.PixelShuffle(2))


def _sizes(smallest: int) -> list[int]:
    """The square sizes that work, up to 16 times `smallest`."""
    return sorted(base << halvings for base in range(smallest, 2 * smallest) for halvings in (1, 2, 3))
