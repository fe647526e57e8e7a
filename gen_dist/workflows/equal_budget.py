"""Equal budgets for unequal families: how many images a preset can draw in a given time, and a schedule to fit."""

from dataclasses import replace
from typing import Any

import torch

from gen_dist.config import RunConfig
from gen_dist.serialization import converter, to_json
from gen_dist.training.clock import Clock, fair_clock
from gen_dist.training.curriculum import stretched
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
    """Training images that a run draws in a given time, measured on the first rounds of each of its stages.

    They cost up to 5% of that time (5 s at most) and are not part of the run: a fresh one follows. On a GPU as much
    passes unmeasured before that, since kernels are loaded when they are first called.
    """
    clock = fair_clock(device) if clock is None else clock
    settings = replace(stretched(config.training, _ENDLESS), rounds_per_report=1)
    training = Training(config.model, settings, config.seed, stream, device=device)
    if not training.state.phases:  # fitted, not trained: time is not what limits it
        return config.training.images
    spans = training.curriculum.spans
    measured = min(_MEASURED_AT_MOST_SECONDS, _MEASURED_SHARE * seconds) / len(spans)
    seconds_per_image = 0.0
    for stage, span in enumerate(spans):
        training.skip_to(stage)
        seconds_per_image += span.images / settings.images / _rate(training, measured, clock)
    return max(config.training.batch_size, len(spans), int(seconds / seconds_per_image))


def _rate(training: Training, seconds: float, clock: Clock) -> float:
    """Images per second, measured for so long."""
    began, rounds = clock(), 0
    while rounds < _WARM_UP_ROUNDS or (training.device.type == "cuda" and clock() - began < seconds):
        training.advance()
        rounds += 1
    first, began = training.moment.samples_seen, clock()
    while clock() - began < seconds or training.moment.samples_seen == first:
        training.advance()
    return (training.moment.samples_seen - first) / (clock() - began)


def with_budget(config: RunConfig, images: int, *, looks: int) -> RunConfig:
    """The same run over another number of images: all that is scheduled by images is stretched with it.

    The stages of a curriculum keep their shares. Fields of the model whose name ends in `_images` are places on that
    clock (learning-rate decay, warm-up of a divergence, annealing of a temperature); those that start with `num_` count
    something else.

    Args:
        config: the run.
        images: its new length.
        looks: how often the model is looked at, evenly spread, the end included.
    """
    factor = images / config.training.images
    tree = converter.unstructure(config, unstructure_as=RunConfig)
    _stretch(tree["model"], factor)
    config = RunConfig.from_json(to_json(tree))
    training = replace(
        stretched(config.training, images),
        evaluate_every_images=max(1, images // looks),
        checkpoint_every_images=None,
        checkpoint_every_seconds=CHECKPOINT_SECONDS,
    )
    return replace(config, training=training)


def _stretch(node: dict[str, Any], factor: float) -> None:
    for name, value in node.items():
        if name == "foundation":  # of a first stage, which has been trained already
            continue
        if isinstance(value, dict):
            _stretch(value, factor)
        elif name.endswith("_images") and not name.startswith("num_") and isinstance(value, int) and value > 0:
            node[name] = max(1, round(value * factor))
