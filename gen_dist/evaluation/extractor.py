"""What turns images into the features that distances are measured in, a part of every figure's protocol."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from gen_dist.bundle.bundle import Bundle
from gen_dist.capabilities import Classifies
from gen_dist.evaluation.protocol import ExtractorName
from gen_dist.sampling.draw import device_of

FEATURE_SCALE = "feature_scale"
"""Entry of a classifier's provenance: the factor that gives the training images' features a mean variance of 1.

Distances then have a readable unit, and the kernel's constant and cubic terms weigh alike for every dataset.
"""
CHUNK = 256
"""Images that pass through a network at a time."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What an extractor sees in some images, on the CPU.

    Attributes:
        features: one row per image.
        classes: the predicted class of each image; None from extractors that know no classes.
    """

    features: Float64[Tensor, "n f"]
    classes: Int64[Tensor, " n"] | None = None


@runtime_checkable
class Extractor(Protocol):
    """Turns images into features."""

    @property
    def name(self) -> ExtractorName:
        """Which kind it is."""

    @property
    def digest(self) -> str:
        """Identifies weights and preprocessing; equal digests give equal features."""

    def extract(self, images: UInt8[Tensor, "n c h w"]) -> Extraction:
        """Features of images, computed in chunks."""


@final
class ClassifierExtractor:
    """The penultimate layer of a classifier that was trained on the judged dataset's training split."""

    name: ExtractorName = "classifier"

    def __init__(self, bundle: Bundle) -> None:
        learner = bundle.learner
        if not isinstance(learner, Classifies):
            raise ValueError(f"{type(learner).__name__} classifies nothing: it is no feature extractor")
        self._classifier: Classifies = learner
        self._device = device_of(learner)
        self._scale = float(bundle.provenance.get(FEATURE_SCALE, 1.0))
        self.digest = bundle.digest

    @torch.no_grad()
    def extract(self, images: UInt8[Tensor, "n c h w"]) -> Extraction:
        """See Extractor; classes are the classifier's most probable ones."""
        features, classes = [], []
        for chunk in torch.split(images, CHUNK):
            chunk = chunk.to(self._device)
            features.append(self._scale * self._classifier.features(chunk).double().cpu())
            classes.append(self._classifier.logits(chunk).argmax(dim=1).cpu())
        return Extraction(torch.cat(features), torch.cat(classes))
