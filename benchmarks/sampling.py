"""Drawing from autoregressive models pixel by pixel: features kept from pixel to pixel, beside the network called anew.

Run:
    python benchmarks/sampling.py

16 images of 28x28, float32, one thread, weights as initialised (time does not depend on them). Both ways draw from the
same seed, and the benchmark fails unless they give the same images. Target: 20 times faster.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time

import torch

from gen_dist.models.autoregressive.autoregressive import Autoregressive, WholeNetwork
from gen_dist.models.autoregressive.raster import PixelPredictor, draw_in_raster_order
from gen_dist.presets import PRESETS, preset
from gen_dist.types import DataSpec

NUM_IMAGES = 16
TARGET = 20.0
DATA = DataSpec(channels=1, height=28, width=28, class_names=tuple("0123456789"))


def draw(model: Autoregressive, predictor: PixelPredictor) -> tuple[torch.Tensor, float]:
    """Images and the seconds that they took."""
    images = torch.zeros(NUM_IMAGES, *DATA.shape, dtype=torch.uint8)
    torch.manual_seed(1)
    began = time.perf_counter()
    draw_in_raster_order(images, predictor, model.distribution)
    return images, time.perf_counter() - began


@torch.no_grad()
def main() -> int:
    torch.set_num_threads(1)
    well = True
    for name in PRESETS:
        config = preset(name).model
        if not name.endswith("-28"):
            continue
        torch.manual_seed(0)
        model = config.build(DATA).eval()
        if not isinstance(model, Autoregressive):
            continue
        labels = torch.arange(NUM_IMAGES) % model.num_classes if model.num_classes else None
        draw(model, model.predictor(NUM_IMAGES, labels))  # warm
        fast, fast_seconds = draw(model, model.predictor(NUM_IMAGES, labels))
        plain, plain_seconds = draw(model, WholeNetwork(model, labels))
        same = torch.equal(fast, plain)
        ratio = plain_seconds / fast_seconds
        well = well and same
        verdict = "" if same else ", OTHER IMAGES: MISSED"
        print(
            f"{name}: {fast_seconds:.2f} s for {NUM_IMAGES} images, the network anew for each pixel "
            f"{plain_seconds:.1f} s: {ratio:.0f} times faster{verdict}   target {TARGET:.0f} times",
            flush=True,
        )
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
