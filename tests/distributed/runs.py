"""Short runs that tests compare: every tensor that training changes, by name."""

from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from toys import MadeUpStream, ToyConfig

from gen_dist.distributed.world import World
from gen_dist.training.settings import TrainingConfig
from gen_dist.training.training import Diverged, Training

SETTINGS = TrainingConfig(images=8 * 16, batch_size=16, num_micro_batches=4, rounds_per_report=3, num_threads=1)


def everything(training: Training) -> dict[str, Tensor]:
    """Weights, buffers, averages, moments, this worker's memories."""
    state = training.state
    names = {parameter: name for name, parameter in state.learner.named_parameters()}
    tensors = dict(state.learner.state_dict())
    tensors |= {f"ema/{name}": tensor for name, tensor in state.ema.weights.items()}
    for player, optimizer in state.optimizers.items():
        for parameter, moments in optimizer.state.items():
            tensors |= {f"{player}/{names[parameter]}/{n}": t for n, t in moments.items() if isinstance(t, Tensor)}
    tensors |= {f"memory/{m}/{name}": t for m, entries in state.memory.items() for name, t in entries.items()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def start(name: str, *, settings: TrainingConfig = SETTINGS, poisoned: int | None = None, **config: Any) -> Training:
    world = World.current(torch.device("cpu"))
    return Training(ToyConfig(name=name, **config), settings, 0, MadeUpStream(poisoned), world=world)


def train(name: str, rounds: int = 6, **changes: Any) -> dict[str, Tensor]:
    training = start(name, settings=replace(SETTINGS, images=10**9, **changes))
    while training.moment.round < rounds:
        training.advance()
    return everything(training)


def train_without_averaging(name: str) -> dict[str, Tensor]:
    with mock.patch.object(World, "sum_", return_value=None):
        return train(name)


def train_until_it_breaks(poisoned: int) -> dict[str, Any]:
    training = start("poisoned", poisoned=poisoned)
    before = everything(training)
    try:
        while not training.finished:
            before = everything(training)
            training.advance()
    except Diverged as diverged:
        return {"facts": diverged.facts(), "before": before, "after": everything(training)}
    return {"facts": None}
