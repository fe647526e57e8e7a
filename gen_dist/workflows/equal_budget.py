"""Equal budgets for unequal families: how many images a preset can draw in a given time, and a schedule to fit."""

from dataclasses import replace
from typing import Any

import torch

from gen_dist.config import RunConfig
from gen_dist.serialization import converter, to_json
from gen_dist.training.clock import Clock, fair_clock
from gen_dist.training.training import Training
from gen_dist.types import ImageSource

CHECKPOINT_SECONDS = 60.0
_WARM_UP_ROUNDS = 2
_MEASURED_SHARE = 0.05
_MEASURED_AT_MOST_SECONDS = 5.0
_ENDLESS = 1 << 50  # images: a preset's own length must not end what is measured


def images_within(
    config: RunConfig,
    stream: ImageSource,
    seconds: float,
    *,
    device: torch.device,
    clock: Clock | None = None,
) -> int:
    """Training images that a run draws in a given time, measured on its first rounds.

    They cost up to 5% of that time (5 s at most) and are not part of the run: a fresh one follows.
    """
    clock = fair_clock(device) if clock is None else clock
    settings = replace(config.training, rounds_per_report=1, images=_ENDLESS)
    training = Training(config.model, settings, config.seed, stream, device=device)
    if not training.state.phases:  # fitted, not trained: time is not what limits it
        return config.training.images
    for _ in range(_WARM_UP_ROUNDS):
        training.advance()
    first, began = training.moment.samples_seen, clock()
    measured = min(_MEASURED_AT_MOST_SECONDS, _MEASURED_SHARE * seconds)
    while clock() - began < measured or training.moment.samples_seen == first:
        training.advance()
    rate = (training.moment.samples_seen - first) / (clock() - began)
    return max(config.training.batch_size, int(rate * seconds))


def with_budget(config: RunConfig, images: int, *, looks: int) -> RunConfig:
    """The same run over another number of images: all that is scheduled by images is stretched with it.

    Fields of the model whose name ends in `_images` are places on that clock (learning-rate decay, warm-up of a
    divergence, annealing of a temperature); those that start with `num_` count something else.

    Args:
        config: the run.
        images: its new length.
        looks: how often the model is looked at, evenly spread, the end included.
    """
    factor = images / config.training.images
    tree = converter.unstructure(config, unstructure_as=RunConfig)
    _stretch(tree["model"], factor)
    stretched = RunConfig.from_json(to_json(tree))
    training = replace(
        config.training,
        images=images,
        evaluate_every_images=max(1, images // looks),
        checkpoint_every_images=None,
        checkpoint_every_seconds=CHECKPOINT_SECONDS,
    )
    return replace(stretched, training=training)


def _stretch(node: dict[str, Any], factor: float) -> None:
    for name, value in node.items():
        if name == "foundation":  # of a first stage, which has been trained already
            continue
        if isinstance(value, dict):
            _stretch(value, factor)
        elif name.endswith("_images") and not name.startswith("num_") and isinstance(value, int) and value > 0:
            node[name] = max(1, round(value * factor))
