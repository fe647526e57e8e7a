"""Every autoregressive family at law size: a table of constructors, for one law for all."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gen_dist.models.autoregressive.autoregressive import Autoregressive
from gen_dist.models.autoregressive.gated_pixelcnn import GatedPixelCNNConfig
from gen_dist.models.autoregressive.made import MADEConfig
from gen_dist.models.autoregressive.nade import NADEConfig
from gen_dist.models.autoregressive.pixelcnn import PixelCNNConfig
from gen_dist.models.autoregressive.pixelcnn_plus_plus import PixelCNNPlusPlusConfig
from gen_dist.models.autoregressive.pixelrnn import PixelRNNConfig
from gen_dist.types import DataSpec


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network.

    Attributes:
        build: a fresh one for such images.
        blind: whether the paper's network misses some earlier pixels, as PixelCNN misses those to the upper right.
        colours: numbers of colours that it can model.
    """

    build: Callable[[DataSpec], Autoregressive]
    blind: bool = False
    colours: tuple[int, ...] = (1, 3)


# A family's line: "name" for 8-bit images, "name-bernoulli" for binary ones.
CASES: dict[str, Case] = {
    "pixelcnn": Case(
        build=PixelCNNConfig(features=48, output_features=48, num_blocks=2, first_kernel_size=5).build, blind=True
    ),
    "pixelcnn-bernoulli": Case(
        build=PixelCNNConfig(
            likelihood="bernoulli", features=48, output_features=48, num_blocks=1, first_kernel_size=3
        ).build,
        blind=True,
    ),
    "pixelcnn-plus-plus": Case(
        build=PixelCNNPlusPlusConfig(features=4, num_blocks=1, num_scales=3, num_components=3).build
    ),
    "gated-pixelcnn": Case(build=GatedPixelCNNConfig(features=24, output_features=48, num_blocks=1).build),
    "gated-pixelcnn-conditional": Case(
        build=GatedPixelCNNConfig(class_conditional=True, features=24, output_features=48, num_blocks=1).build
    ),
    "gated-pixelcnn-bernoulli": Case(
        build=GatedPixelCNNConfig(
            likelihood="bernoulli", features=36, output_features=36, num_blocks=1, first_kernel_size=5
        ).build
    ),
    "gated-pixelcnn-conditional-bernoulli": Case(
        build=GatedPixelCNNConfig(
            likelihood="bernoulli", class_conditional=True, features=36, output_features=36, num_blocks=0
        ).build
    ),
    "pixelrnn-row": Case(build=PixelRNNConfig(features=24, output_features=48, num_layers=2).build, blind=True),
    "pixelrnn-diagonal": Case(
        build=PixelRNNConfig(
            architecture="diagonal-bilstm", features=24, output_features=48, num_layers=2, first_kernel_size=3
        ).build
    ),
    "pixelrnn-row-bernoulli": Case(
        build=PixelRNNConfig(
            likelihood="bernoulli", features=24, output_features=48, num_layers=1, first_kernel_size=3
        ).build,
        blind=True,
    ),
    "pixelrnn-diagonal-bernoulli": Case(
        build=PixelRNNConfig(
            architecture="diagonal-bilstm",
            likelihood="bernoulli",
            features=24,
            output_features=48,
            num_layers=1,
            first_kernel_size=3,
        ).build
    ),
    "made-logistic": Case(build=MADEConfig(likelihood="logistic-mixture", hidden=(400,), num_components=2).build),
    "made-bernoulli": Case(build=MADEConfig(hidden=(50, 50)).build),
    "nade-bernoulli": Case(build=NADEConfig(hidden=40).build),
}
BINARY = {name: case for name, case in CASES.items() if name.endswith("bernoulli")}
EIGHT_BIT = {name: case for name, case in CASES.items() if name not in BINARY}


def network(case: Case, colours: int, height: int, width: int, *, dtype: torch.dtype = torch.float64) -> Autoregressive:
    """A network far from its initial state, so that no zero is a zero of the initialisation."""
    torch.manual_seed(1)
    model = case.build(DataSpec(channels=colours, height=height, width=width, class_names=("a", "b"))).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.02 * torch.randn_like(parameter))
    return model
