"""Images that are mostly black: where flows elsewhere return NaN, these learn, in float32 and under bfloat16."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from gen_dist.learner import ModelConfig
from gen_dist.models.flow.glow import GlowConfig
from gen_dist.models.flow.nice import NICEConfig
from gen_dist.models.flow.realnvp import RealNVPConfig
from gen_dist.optimization import Adam
from gen_dist.training.settings import TrainingConfig
from gen_dist.training.training import Training
from gen_dist.types import DataSpec, ImageBatch

SIZE, ROUNDS_PER_REPORT = 12, 20
FAST = Adam(learning_rate=3e-3)
FLOWS: dict[str, ModelConfig] = {
    "realnvp act": RealNVPConfig(scales=2, hidden=8, num_blocks=1, alpha=1e-5, optimizer=FAST),
    "realnvp batch": RealNVPConfig(scales=2, hidden=8, num_blocks=1, normalization="batch", alpha=1e-5, optimizer=FAST),
    "nice": NICEConfig(hidden=32, hidden_layers=2, alpha=1e-5, optimizer=FAST),
    "nice linear": NICEConfig(
        hidden=32, hidden_layers=2, pixel_scale="linear", optimizer=replace(FAST, learning_rate=1e-3)
    ),
    "glow": GlowConfig(scales=2, steps=2, hidden=8, pixel_scale="logit", alpha=1e-5, optimizer=FAST),
    "glow linear": GlowConfig(scales=2, steps=2, hidden=8, optimizer=FAST),
}


class Squares:
    """A grey square somewhere in the middle, in part exactly 255, on exact zeros; the border is always 0."""

    num_images = 256

    def __init__(self) -> None:
        self.spec = DataSpec(channels=1, height=SIZE, width=SIZE)
        generator = torch.Generator().manual_seed(4)
        self.images = torch.stack([self._draw(generator) for _ in range(self.num_images)])

    def take(self, start: int, count: int) -> ImageBatch:
        return ImageBatch(images=self.images[torch.arange(start, start + count) % self.num_images])

    def prefetch(self, start: int, count: int) -> None: ...

    @staticmethod
    def _draw(generator: torch.Generator) -> Tensor:
        top, left, side = (int(n) for n in torch.randint(2, 6, (3,), generator=generator))
        image = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
        grey = torch.randint(100, 400, (side, side), generator=generator).clamp(max=255)
        image[0, top : top + side, left : left + side] = grey[: SIZE - 1 - top, : SIZE - 1 - left].to(torch.uint8)
        return image


@pytest.mark.parametrize(
    ("rounds", "gain"), [(80, 0.1), pytest.param(600, 0.5, marks=pytest.mark.learning)], ids=["80", "600"]
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", FLOWS)
def test_flows_learn_images_with_large_constant_areas(
    name: str, precision: Literal["float32", "bfloat16"], rounds: int, gain: float
) -> None:
    settings = TrainingConfig(
        images=10**9, batch_size=16, precision=precision, rounds_per_report=ROUNDS_PER_REPORT, num_threads=1
    )
    images = Squares()
    assert (images.images == 0).float().mean() > 0.7
    # An advance raises if one of its steps was not finite.
    training = Training(FLOWS[name], settings, 0, images)
    losses = [training.advance()["likelihood/loss"] for _ in range(rounds // ROUNDS_PER_REPORT)]
    assert losses[-1] < losses[0] - gain  # bits per dimension
    assert max(losses[1:]) < losses[0] + 0.1  # and it never explodes on the way
    learner = training.evaluation_copy()
    held = images.take(0, 64).images
    scores = learner.log_probability(held)
    assert scores.isfinite().all()
    assert torch.equal(learner.decode(learner.encode(held)), held)
    assert learner.sample(16).float().mean() < 128.0
