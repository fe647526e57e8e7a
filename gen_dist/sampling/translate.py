"""Translating images: the same seed gives the same pixels, whatever else the process does."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from gen_dist.capabilities import Translates, capabilities
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.learner import Learner
from gen_dist.sampling.draw import CHUNK, device_of, evaluation_mode
from gen_dist.types import DataSpec, ImageBatch

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as in Pillow's mode "L"."""


def translations(
    learner: Learner, sources: UInt8[Tensor, "n s i j"], *, seed: int, chunk: int = CHUNK
) -> UInt8[Tensor, "n c h w"]:
    """One image for each source, in evaluation mode and on the learner's device; they are returned on the CPU.

    Args:
        learner: must be able to translate.
        sources: what to translate, 1 or more.
        seed: the noise of chunk c is a function of (seed, c).
        chunk: images translated at a time.

    Raises:
        ValueError: the learner can't translate, or not such sources, or there are none.
    """
    if not isinstance(learner, Translates):
        abilities = ", ".join(capabilities(learner)) or "nothing but train"
        raise ValueError(f"{type(learner).__name__} can't translate images; what it can do: {abilities}")
    if not len(sources):
        raise ValueError("there are no images to translate")
    images = []
    with evaluation_mode(learner), torch.no_grad():
        for index, part in enumerate(torch.split(sources, chunk)):
            with seeded(seed_for("translate", seed, index)):
                images.append(learner.translate(part.to(device_of(learner))).cpu())
    return torch.cat(images)


def untranslated(sources: UInt8[Tensor, "n s i j"], spec: DataSpec) -> UInt8[Tensor, "n c h w"]:
    """The sources themselves in the shape of the images: what a translation must be better than.

    Another size is reached by bicubic interpolation, colours become grey by their luma, and grey becomes colour by
    repetition.
    """
    return _in_shape(sources, spec, "bicubic")


def translation_sheet(
    images: UInt8[Tensor, "n c h w"], pairs: ImageBatch, spec: DataSpec
) -> tuple[UInt8[Tensor, "m c h w"], int]:
    """Each source beside the image made of it, and beside the image that should be made of it where that is known.

    Args:
        images: the translations.
        pairs: their sources, and the images that these are stored with.
        spec: of the dataset.

    Returns:
        The images of a sheet, row by row, and how many belong together: 3 for paired data, else 2.
    """
    assert pairs.sources is not None, "there are translations of these sources"
    assert spec.source is not None, "and the data says what they are"
    columns = [_in_shape(pairs.sources, spec, "nearest-exact"), images]
    if spec.source.paired:
        columns.append(pairs.images)
    return torch.stack(columns, dim=1).flatten(0, 1), len(columns)


def _in_shape(
    sources: UInt8[Tensor, "n s i j"], spec: DataSpec, mode: Literal["bicubic", "nearest-exact"]
) -> UInt8[Tensor, "n c h w"]:
    values = sources.float()
    if sources.shape[2:] != spec.shape[1:]:
        values = F.interpolate(values, spec.shape[1:], mode=mode, antialias=mode == "bicubic")
    if values.shape[1] > spec.channels:
        values = (values * values.new_tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    return values.expand(-1, spec.channels, -1, -1).round().clamp(0, 255).to(torch.uint8)
