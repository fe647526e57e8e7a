"""Judging learners, all families by the same figures, under one protocol."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import UInt8
from torch import Tensor

from gen_dist.bundle.bundle import Bundle
from gen_dist.capabilities import Samples, Scores, Translates, capabilities
from gen_dist.data.dataset import Dataset
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.evaluation.class_accuracy import CLASS_ACCURACY, ClassJudge, draws_for_labels
from gen_dist.evaluation.coverage import class_shares, diversity, modes_covered, pixel_deviation
from gen_dist.evaluation.extractor import Extractor
from gen_dist.evaluation.fidelity import fidelity
from gen_dist.evaluation.frechet import feature_statistics, frechet_distance
from gen_dist.evaluation.gaussian import gaussian_samples
from gen_dist.evaluation.kernel import KernelDistance
from gen_dist.evaluation.likelihood import likelihood
from gen_dist.evaluation.manifold import manifold, precision_recall
from gen_dist.evaluation.protocol import EvaluationProtocol, EvaluationRecord, Split
from gen_dist.evaluation.retrieval import CaptionJudge
from gen_dist.learner import Learner
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.translate import translations, untranslated
from gen_dist.types import ImageBatch

MAX_REFERENCE = 10_000
"""Images of the judged split that are used at most."""
MAX_FITTED = 10_000
"""Training images that the Gaussian is fitted to at most, unless more samples are asked for."""
ANCHOR_SEED = 0
"""Anchors belong to the data, so the seed of a learner's noise does not move them."""


@final
@dataclass(frozen=True, slots=True)
class Anchors:
    """Figures that need no learner, at one number of samples."""

    figures: dict[str, float]
    num_real: int


def can_be_judged(learner: Learner) -> bool:
    """Whether there is something to evaluate: classifiers, matchers and plain autoencoders draw and score nothing."""
    return isinstance(learner, Samples | Scores | Translates)


@final
class Evaluator:
    """Judges learners against one split of one dataset. Made once: features of the data and anchors are kept.

    Args:
        dataset: the data that the learners were trained on.
        extractor: what turns images into features.
        split: the images that samples are compared with; never the ones that were trained on.
        num_samples: images that a learner draws, or translates if the split has so many.
        num_scored: images of the split that learners score, if they can; few, since a pixel-by-pixel model is slow.
            0 leaves likelihoods out.
        nearest_k: neighbours of precision and recall.
        seed: of the learner's noise.
        matcher: judges whether images show what their captions say, for learners that draw for captions.
        class_judge: classifier that judges whether images show the class they were drawn for, for learners that draw
            for labels; another network than the extractor.

    Raises:
        ValueError: the split or the number of samples is too small for the figures.
    """

    def __init__(
        self,
        dataset: Dataset,
        extractor: Extractor,
        *,
        split: Split = "test",
        num_samples: int = 1_000,
        num_scored: int = 1_000,
        nearest_k: int = 3,
        seed: int = 0,
        matcher: Bundle | None = None,
        class_judge: Bundle | None = None,
    ) -> None:
        self._dataset = dataset
        self._extractor = extractor
        self._split: Split = split
        self._num_samples = num_samples
        self._nearest_k = nearest_k
        self._seed = seed
        reference = dataset.read(split, limit=MAX_REFERENCE)
        extraction = extractor.extract(reference.images)
        self._num_reference = len(reference)
        self._scored = dataset.read(split, limit=num_scored).images if num_scored else reference.images[:0]
        self._statistics = feature_statistics(extraction.features)
        self._kernel_distance = KernelDistance(extraction.features)
        self._manifold = manifold(extraction.features, nearest_k)
        self._deviation = pixel_deviation(reference.images)
        self._shares: list[float] | None = None
        if reference.labels is not None and extraction.classes is not None:
            self._shares = class_shares(reference.labels, dataset.spec.num_classes)
        self._captions: CaptionJudge | None = None
        if matcher is not None:
            self._captions = CaptionJudge(matcher, dataset.read(split, limit=num_samples))
        self._classes = None if class_judge is None else ClassJudge(class_judge, reference)
        self._anchors: dict[int, Anchors] = {}
        self._pairs: dict[int, ImageBatch] = {}
        self._untranslated: dict[int, dict[str, float]] = {}

    def evaluate(
        self, learner: Learner, *, ema: bool, num_samples: int | None = None, seed: int | None = None
    ) -> EvaluationRecord:
        """Figures of a learner with its anchors.

        Args:
            learner: the copy to judge; `Learner.finalise` has been called on it.
            ema: whether it holds averaged weights, for the record.
            num_samples: instead of the evaluator's own; figures at different numbers do not compare.
            seed: instead of the evaluator's own, to measure the noise of the figures.

        Raises:
            ValueError: the learner can neither draw, translate nor score, its images have another shape, it translates
                and the data has no sources, or a figure is not finite.
        """
        num = self._num_samples if num_samples is None else num_samples
        seed = self._seed if seed is None else seed
        if not can_be_judged(learner):
            abilities = ", ".join(capabilities(learner)) or "nothing but train"
            raise ValueError(
                f"{type(learner).__name__} can neither draw, translate nor score images (it can: {abilities}): nothing "
                "to evaluate"
            )
        score = likelihood(learner, self._scored, seed=seed) if len(self._scored) else None
        metrics = {} if score is None else dict(score.metrics)
        anchors, notes, num_translated = Anchors({}, 0), self._notes_on_data(), 0
        if isinstance(learner, Samples):
            metrics |= self.figures(draw_samples(learner, num, seed=seed))
            anchors = self._anchors_at(num)
            if self._captions is not None:
                metrics |= self._captions.figures(learner, seed=seed)
            if self._classes is not None and draws_for_labels(learner):
                metrics |= self._classes.figures(learner, num, seed=seed)
                anchors = Anchors(anchors.figures | self._classes.anchors, anchors.num_real)
            notes += _notes_on_samples(metrics, anchors, num)
        elif isinstance(learner, Translates):
            pairs = self._pairs_at(num)
            num = num_translated = len(pairs)
            metrics |= self._translation_figures(translations(learner, _sources(pairs), seed=seed), pairs)
            anchors = self._anchors_with_untranslated(num)
            notes += _notes_on_samples(metrics, anchors, num) + _notes_on_translations(metrics, anchors)
        protocol = EvaluationProtocol(
            extractor=self._extractor.name,
            extractor_digest=self._extractor.digest,
            dataset_digest=self._dataset.digest,
            split=self._split,
            num_reference=self._num_reference,
            num_samples=num if isinstance(learner, Samples | Translates) else 0,
            num_scored=len(self._scored) if score is not None else 0,
            num_translated=num_translated,
            nearest_k=self._nearest_k,
            seed=seed,
            ema=ema,
            matcher_digest=None if self._captions is None else self._captions.matcher_digest,
            class_judge_digest=self._classes.digest if self._classes and CLASS_ACCURACY in metrics else None,
        )
        kind = None if score is None else score.kind
        return EvaluationRecord(
            protocol=protocol, metrics=metrics, anchors=anchors.figures, likelihood_kind=kind, notes=notes
        )

    def anchors(self, num_samples: int | None = None) -> dict[str, float]:
        """Figures of real training images ("..._real") and of a Gaussian ("..._gaussian"), to read others beside."""
        return dict(self._anchors_at(self._num_samples if num_samples is None else num_samples).figures)

    def figures(self, images: UInt8[Tensor, "n c h w"]) -> dict[str, float]:
        """Figures of images, wherever they come from: those of `evaluate` but for likelihoods.

        Raises:
            ValueError: the images have another shape than the dataset's.
        """
        return self._figures(self._checked(images))

    def _figures(self, images: UInt8[Tensor, "n c h w"]) -> dict[str, float]:
        """All figures that compare images with the split."""
        extraction = self._extractor.extract(images)
        shares = precision_recall(self._manifold, manifold(extraction.features, self._nearest_k))
        figures = {
            "frechet_distance": frechet_distance(feature_statistics(extraction.features), self._statistics),
            "kernel_distance": self._kernel_distance(extraction.features),
            "precision": shares.precision,
            "recall": shares.recall,
            "diversity": diversity(images, self._deviation),
        }
        if self._shares is not None and extraction.classes is not None:
            figures["modes_covered"] = modes_covered(class_shares(extraction.classes, len(self._shares)), self._shares)
        return figures

    def _anchors_at(self, num: int) -> Anchors:
        """Figures of `num` real training images, and of as many draws from a Gaussian fitted to the pixels."""
        if num not in self._anchors:
            train = self._dataset.read("train", limit=max(num, MAX_FITTED)).images
            with seeded(seed_for("real images", ANCHOR_SEED)):
                real = train[torch.randperm(len(train))[:num]]
            sources = {"real": real, "gaussian": gaussian_samples(train, num, seed=ANCHOR_SEED)}
            figures = {
                f"{name}_{source}": value
                for source, images in sources.items()
                for name, value in self._figures(images).items()
            }
            of_captions = {} if self._captions is None else self._captions.anchors
            self._anchors[num] = Anchors(figures | of_captions, len(real))
        return self._anchors[num]

    def _translation_figures(self, images: UInt8[Tensor, "n c h w"], pairs: ImageBatch) -> dict[str, float]:
        """All figures of images made from these sources; those that compare with each target where it is known."""
        figures = self._figures(self._checked(images))
        source = self._dataset.spec.source
        return figures | (fidelity(images, pairs.images) if source is not None and source.paired else {})

    def _pairs_at(self, num: int) -> ImageBatch:
        """So many images of the split with their sources, or all if there are fewer."""
        if self._dataset.spec.source is None:
            raise ValueError(
                f"the model translates images, and the dataset {self._dataset.uri} has no sources to translate: "
                "evaluate it on data like that which it was trained on"
            )
        num = min(num, MAX_REFERENCE)
        if num not in self._pairs:
            self._pairs[num] = self._dataset.read(self._split, limit=num)
        return self._pairs[num]

    def _anchors_with_untranslated(self, num: int) -> Anchors:
        """The anchors, and the figures of sources that are taken for images as they are ("..._untranslated")."""
        if num not in self._untranslated:
            pairs = self._pairs_at(num)
            figures = self._translation_figures(untranslated(_sources(pairs), self._dataset.spec), pairs)
            self._untranslated[num] = {f"{name}_untranslated": value for name, value in figures.items()}
        anchors = self._anchors_at(num)
        return Anchors(anchors.figures | self._untranslated[num], anchors.num_real)

    def _checked(self, images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
        shape = self._dataset.spec.shape
        if images.shape[1:] != shape:
            raise ValueError(
                f"the model draws images of {tuple(images.shape[1:])} (channels, height, width), and the dataset "
                f"{self._dataset.uri} has {shape}: evaluate it on data like that which it was trained on"
            )
        return images

    def _notes_on_data(self) -> tuple[str, ...]:
        num, width = self._num_reference, len(self._statistics.mean)
        if num > width:
            return ()
        return (
            f"the split's {num} images are not more than the {width} features: the Fréchet distance rests on a "
            "singular covariance, trust the kernel distance instead",
        )


def _sources(pairs: ImageBatch) -> UInt8[Tensor, "n s i j"]:
    assert pairs.sources is not None, "the dataset's spec says that there are sources"
    return pairs.sources


def _notes_on_translations(metrics: dict[str, float], anchors: Anchors) -> tuple[str, ...]:
    notes: tuple[str, ...] = (
        "made from the split's own sources: its figures don't compare with those of drawn images",
    )
    if "l1" in metrics and metrics["l1"] >= anchors.figures["l1_untranslated"]:
        notes += ("no closer to the targets than the sources themselves",)
    return notes


def _notes_on_samples(metrics: dict[str, float], anchors: Anchors, num: int) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if metrics["frechet_distance"] >= anchors.figures["frechet_distance_gaussian"]:
        notes += ("worse than a Gaussian fitted to the pixels",)
    if anchors.num_real < num:
        notes += (f"the anchor of real images used all {anchors.num_real} training images, fewer than {num} samples",)
    return notes
