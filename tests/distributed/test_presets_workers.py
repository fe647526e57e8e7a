"""Is more workers the same mathematics, for the presets as well as for toys?"""

from functools import cache
from typing import Any
from unittest import mock

import pytest
import torch
from contract.small_presets import NAMES_8, DoubleConfig, MadeUpImages, advance, founded, narrow, settings, spec_of
from pool import WorkerPool
from runs import everything
from torch import Tensor

from gen_dist.distributed.world import World
from gen_dist.presets import preset
from gen_dist.training.training import Training

# Float64 sums in another order: 1e-16 a step, amplified by Adam's division and a few chaotic GAN steps.
TOLERANCE = 1e-7


def train_preset(name: str, rounds: int = 5) -> dict[str, Any]:
    """Train a narrow preset in float64 at four micro-batches, on the worker that is asked."""
    model = DoubleConfig(model=narrow(preset(name)).model)
    world = World.current(torch.device("cpu"))
    training = Training(
        model, settings(batch_size=16, num_micro_batches=4), 0, MadeUpImages(spec_of(name)), world=world
    )
    advance(founded(training), rounds)
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in training.history]
    return {"tensors": everything(training), "history": rows}


def train_preset_without_averaging(name: str) -> dict[str, Any]:
    with mock.patch.object(World, "sum_", return_value=None):
        return train_preset(name)


@pytest.fixture(scope="module")
def alone(pool: WorkerPool) -> Any:
    """What one worker makes of a preset, by name."""
    return cache(lambda name: pool.run(train_preset, name, workers=1)[0])


def shared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What every worker holds; memories stay with their micro-batch's worker."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("memory/")}


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("name", NAMES_8)
def test_any_number_of_workers_trains_the_same_preset(pool: WorkerPool, alone: Any, name: str, workers: int) -> None:
    expected, answers = alone(name), pool.run(train_preset, name, workers=workers)
    coarse = {entry for entry, tensor in expected["tensors"].items() if tensor.dtype == torch.float32}
    assert all(entry.endswith("/step") for entry in coarse), "only Adam's counter is float32"
    for answer in answers:
        torch.testing.assert_close(
            shared(answer["tensors"]), shared(expected["tensors"]), atol=TOLERANCE, rtol=TOLERANCE
        )
        for row, other in zip(answer["history"], expected["history"], strict=True):
            assert row == pytest.approx(other, rel=TOLERANCE, abs=TOLERANCE)
    memories = [
        (entry, answer["tensors"][entry])
        for answer in answers
        for entry in answer["tensors"]
        if entry.startswith("memory/")
    ]
    assert len(memories) == {"rbm-8": 4, "dbm-8": 8, "cyclegan-8": 16}.get(name, 0)
    for entry, tensor in memories:
        tolerance = TOLERANCE if name == "cyclegan-8" else 0.0  # chains are binary, pools hold images
        torch.testing.assert_close(tensor, expected["tensors"][entry], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", NAMES_8)
def test_without_averaging_presets_differ(pool: WorkerPool, name: str) -> None:
    """The negative control: the equality above is not for free."""
    first, second = (shared(answer["tensors"]) for answer in pool.run(train_preset_without_averaging, name, workers=2))
    assert max(float((first[entry] - second[entry]).abs().max()) for entry in first) > 1e-3
