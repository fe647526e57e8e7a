"""PatchGAN: a critic that judges every patch of an image on its own, by convolutions alone (arXiv:1611.07004).

A patch's side is how far one score sees. n halvings followed by two convolutions of stride 1, all with kernels of 4,
see 9 * 2^n - 2 pixels: 16, 34, 70, 142, 286. "PixelGAN" has kernels of 1 and sees one pixel. This is the sight of the
convolutions; instance normalisation between them also tells each score the mean and variance of the whole image.
"""

from torch import nn

PATCH_HALVINGS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
"""Sides of patches that there are, and how often each network halves the image."""
_MOST_DOUBLINGS = 3


def check_patch_size(patch_size: int) -> None:
    """Raise ValueError unless a network of such patches exists."""
    if patch_size not in PATCH_HALVINGS:
        raise ValueError(f"model.patch_size is {patch_size}: choose {', '.join(map(str, PATCH_HALVINGS))}")


def patch_critic(num_inputs: int, features: int, patch_size: int, *, height: int, width: int) -> nn.Sequential:
    """Images (b, num_inputs, height, width) to one unbounded score per patch (b, 1, rows, columns).

    Features double with every convolution, up to eight times `features`; all layers but the first and the last are
    normalised.

    Args:
        num_inputs: channels of the image, and of what it is conditioned on.
        features: of the first convolution.
        patch_size: side of a patch: a key of `PATCH_HALVINGS`.
        height: of the images.
        width: of the images.

    Raises:
        ValueError: there is no such patch size, or the images are too small for it.
    """
    check_patch_size(patch_size)
    halvings = PATCH_HALVINGS[patch_size]
    # Two convolutions of stride 1 and kernel 4 follow, each of which takes one row and column away.
    if halvings and min(height, width) >> halvings < 3:
        fitting = [size for size, n in PATCH_HALVINGS.items() if min(height, width) >> n >= 3]
        raise ValueError(
            f"model.patch_size is {patch_size}, whose network halves the image {halvings} times: images of {height} x "
            f"{width} are too small for it; choose {', '.join(map(str, fitting or [1]))}"
        )
    # Kernel, stride and padding of all layers but the last.
    shapes = [(1, 1, 0), (1, 1, 0)] if patch_size == 1 else [(4, 2, 1)] * halvings + [(4, 1, 1)]
    layers: list[nn.Module] = []
    for index, (kernel, stride, padding) in enumerate(shapes):
        outputs = features << min(index, _MOST_DOUBLINGS)
        layers.append(nn.Conv2d(num_inputs, outputs, kernel, stride, padding, bias=index == 0))
        if index:
            layers.append(nn.InstanceNorm2d(outputs, affine=True))
        layers.append(nn.LeakyReLU(0.2))
        num_inputs = outputs
    kernel, padding = (1, 0) if patch_size == 1 else (4, 1)
    return nn.Sequential(*layers, nn.Conv2d(num_inputs, 1, kernel, 1, padding))
