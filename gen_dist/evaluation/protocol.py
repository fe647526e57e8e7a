"""What a figure means, and the figures themselves: two records are comparable when their protocols are."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Literal

from gen_dist.capabilities import LikelihoodKind
from gen_dist.serialization import from_json, to_json

ExtractorName = Literal["classifier", "random", "inception"]
Split = Literal["train", "validation", "test"]

PROTOCOL_VERSION = 1
"""Raised when the arithmetic behind any figure changes, so that old and new records are never compared."""

_OF_THE_MODEL = ("seed", "ema")
"""Fields that say which noise and which copy of the weights were judged, not how."""
_OF_ONE_FIGURE = ("class_judge_digest",)
"""Fields that only the class accuracy depends on: all other figures compare across them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationProtocol:
    """How a learner was judged.

    Attributes:
        extractor: what turns images into features.
        extractor_digest: identifies its weights and its preprocessing.
        dataset_digest: identifies the data.
        split: the images that samples are compared with. A search uses "validation", a confirmation "test".
        num_reference: images of the split that were used (all, up to a limit; the choice depends on nothing else).
        num_samples: images that the learner drew (or made from sources), as many as each anchor used. The Fréchet
            distance falls as it rises, so only figures at the same number compare.
        num_scored: images of the split whose likelihood is averaged.
        num_translated: sources of the split that the learner made its images from; 0 if it drew them. Figures of
            translations and of drawn images don't compare.
        nearest_k: neighbours of precision and recall.
        seed: of the learner's noise.
        ema: whether averaged weights were judged.
        version: of the arithmetic.
        matcher_digest: identifies what judged whether images show what their captions say; None without.
        class_judge_digest: identifies the classifier behind `class_accuracy`, which compares only where this agrees, as
            all other figures do anyway; None without that figure.
    """

    extractor: ExtractorName
    extractor_digest: str
    dataset_digest: str
    split: Split
    num_reference: int
    num_samples: int
    num_scored: int
    num_translated: int = 0
    nearest_k: int = 3
    seed: int = 0
    ema: bool
    version: int = PROTOCOL_VERSION
    matcher_digest: str | None = None
    class_judge_digest: str | None = None

    def comparable(self) -> str:
        """Canonical JSON of the fields that must agree for figures to compare; equal texts compare."""
        left_out = _OF_THE_MODEL + _OF_ONE_FIGURE
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}
        if self.matcher_digest is None:  # younger than the records that are kept: their text must stay what it was
            del fields["matcher_digest"]
        if not self.num_translated:  # so that it compares with what was written down before there were translators
            del fields["num_translated"]
        return json.dumps(fields, sort_keys=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRecord:
    """Figures with the protocol that gives them a meaning.

    Attributes:
        protocol: how the learner was judged.
        metrics: figures of the learner; docs/evaluation.md explains each. All are finite.
        anchors: the same figures of real images ("frechet_distance_real") and of a Gaussian fitted to the pixels
            ("frechet_distance_gaussian").
        likelihood_kind: what the likelihood among the metrics is: exact, a lower bound or an estimate. None without.
        notes: sentences that a reader of the figures must know.
    """

    protocol: EvaluationProtocol
    metrics: dict[str, float]
    anchors: dict[str, float]
    likelihood_kind: LikelihoodKind | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        wrong = [name for name, value in (self.metrics | self.anchors).items() if not math.isfinite(value)]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)}: not finite, so this is no evaluation; the learner's output is broken"
            )

    def to_json(self, indent: int | None = None) -> str:
        """Canonical JSON; equal records give equal text."""
        return to_json(self, indent=indent)

    @staticmethod
    def from_json(text: str) -> "EvaluationRecord":
        """Inverse of `to_json`; raises ValueError that names a wrong field."""
        return from_json(text, EvaluationRecord)


def same_protocol(first: EvaluationRecord, second: EvaluationRecord) -> bool:
    """Whether the figures of two records compare.

    The seed of the noise and the copy of the weights (averaged or not) may differ: they belong to what is judged.
    """
    return first.protocol.comparable() == second.protocol.comparable()
