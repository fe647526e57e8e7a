"""Images per second of training and of drawing, for every preset of 28x28 images.

Run:
    python benchmarks/families.py

Training is the loop itself at the preset's own settings, reports included, on made-up images from memory. Drawing is
64 images at once in evaluation mode, after 2 to warm up. One thread, whose processor time is counted.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from dataclasses import replace

import torch

from gen_dist.capabilities import Samples
from gen_dist.config import RunConfig
from gen_dist.presets import PRESETS, preset
from gen_dist.sampling.draw import draw_samples
from gen_dist.training.curriculum import stretched
from gen_dist.training.training import Training
from gen_dist.types import DataSpec, ImageBatch
from gen_dist.workflows.competing_presets import fits_data

SECONDS = 5.0
NUM_DRAWN = 64
ENDLESS = 2**62


class Images:
    """Labelled images in memory: soft blobs, since a flow's solver may take longer for noise."""

    spec = DataSpec(channels=1, height=28, width=28, class_names=tuple("0123456789"))
    num_images = 2_000

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(self.num_images, 1, 7, 7, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, size=28, mode="bilinear")
        self._images = (255 * smooth).to(torch.uint8)
        self._labels = torch.arange(self.num_images) % 10

    def take(self, start: int, count: int) -> ImageBatch:
        chosen = torch.arange(start, start + count) % self.num_images
        return ImageBatch(images=self._images[chosen], labels=self._labels[chosen])

    def prefetch(self, start: int, count: int) -> None:
        return


def training_speed(config: RunConfig, images: Images) -> tuple[Training, float]:
    """Images per second over a few seconds, after two rounds to warm up."""
    settings = replace(stretched(config.training, ENDLESS), rounds_per_report=1, num_threads=1)
    training = Training(config.model, settings, config.seed, images)
    if not training.state.phases:
        training.advance()
        return training, 0.0
    for _ in range(2):
        training.advance()
    first, began = training.moment.samples_seen, time.process_time()
    while time.process_time() - began < SECONDS:
        training.advance()
    return training, (training.moment.samples_seen - first) / (time.process_time() - began)


def drawing_speed(training: Training) -> float | None:
    """Images per second, or None for a model that does not draw."""
    learner = training.evaluation_copy()
    if not isinstance(learner, Samples):
        return None
    draw_samples(learner, 2, seed=0)
    began = time.process_time()
    draw_samples(learner, NUM_DRAWN, seed=0)
    return NUM_DRAWN / (time.process_time() - began)


def suits(name: str, spec: DataSpec) -> bool:
    """Whether a preset learns from such images alone; a translator wants sources too."""
    try:
        fits_data(name, spec)
    except ValueError:
        return False
    return True


def main() -> None:
    torch.set_num_threads(1)
    images = Images()
    for name in PRESETS:
        if not name.endswith("-28") or PRESETS[name].foundation is not None or not suits(name, images.spec):
            continue
        config = preset(name)
        training, trained = training_speed(config, images)
        drawn = drawing_speed(training)
        parameters = sum(parameter.numel() for parameter in training.state.learner.parameters())
        parts = [f"{parameters:,} parameters"]
        if trained:
            parts.append(f"{trained:,.0f} images/s trained")
        if drawn is not None:
            parts.append(f"{drawn:,.1f} images/s drawn")
        print(f"{name}: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
