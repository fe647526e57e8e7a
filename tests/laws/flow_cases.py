"""The table of flows that all laws of `test_flow_laws.py` are tested on: a new family is one line in CASES."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gen_dist.models.flow.flow import Flow
from gen_dist.models.flow.glow import GlowConfig
from gen_dist.models.flow.nice import NICEConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.types import DataSpec

DOUBLE = torch.float64
Shape = tuple[int, int, int]


class BuildsFlow(Protocol):
    def build(self, data: DataSpec) -> Flow: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowCase:
    """A family with one choice of its options.

    Attributes:
        config: a narrow network.
        shapes: images that the inverse is tested on.
        small_shapes: images whose whole Jacobian is computed; the first is the smallest that the family takes.
        rough_std: of the weights that take a smallest flow far from the identity and leave its density in range.
    """

    config: BuildsFlow
    shapes: tuple[Shape, ...] = ((1, 8, 8), (3, 8, 8), (1, 28, 28), (1, 6, 6), (3, 5, 7), (1, 1, 2))
    small_shapes: tuple[Shape, ...] = ((1, 1, 2), (1, 4, 4), (3, 2, 4), (1, 3, 5))
    rough_std: float = 0.2


_EVEN: tuple[Shape, ...] = ((1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 6, 10), (1, 2, 2))
_SMALL_EVEN: tuple[Shape, ...] = ((1, 2, 2), (1, 4, 4), (3, 2, 4), (1, 2, 6))

CASES: dict[str, FlowCase] = {
    "realnvp act": FlowCase(config=RealNVPConfig(scales=3, hidden=8, num_blocks=1)),
    "realnvp batch": FlowCase(
        config=RealNVPConfig(scales=3, hidden=4, num_blocks=1, normalization="batch", double_hidden=True)
    ),
    "nice logistic": FlowCase(config=NICEConfig(hidden=16, hidden_layers=2)),
    "nice gaussian": FlowCase(
        config=NICEConfig(hidden=16, hidden_layers=1, partition="halves", prior="gaussian", pixel_scale="linear")
    ),
    "glow": FlowCase(
        config=GlowConfig(scales=3, steps=2, hidden=8, pixel_scale="logit"), shapes=_EVEN, small_shapes=_SMALL_EVEN
    ),
    "glow plain": FlowCase(
        config=GlowConfig(scales=2, steps=2, hidden=8, learned_prior=False), shapes=_EVEN, small_shapes=_SMALL_EVEN
    ),
}

WITH_SHAPES = [(name, shape) for name, case in CASES.items() for shape in case.shapes]
WITH_SMALL_SHAPES = [(name, shape) for name, case in CASES.items() for shape in case.small_shapes]


def fresh_flow(name: str, shape: Shape) -> Flow:
    """A flow as it is built, in float64."""
    torch.manual_seed(3)
    data = DataSpec(channels=shape[0], height=shape[1], width=shape[2])
    return CASES[name].config.build(data).double()


def rough_flow(name: str, shape: Shape, *, std: float = 0.06) -> Flow:
    """A flow far from the identity, in evaluation mode: every weight is drawn anew."""
    flow = fresh_flow(name, shape).eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(std=std)
        for buffer_name, buffer in flow.named_buffers():
            if buffer_name.endswith(("running_mean", "running_variance")):
                buffer.uniform_(0.5, 2.0)
    return flow


def random_images(num: int, shape: Shape) -> Tensor:
    return torch.randint(0, 256, (num, *shape), dtype=torch.uint8)
