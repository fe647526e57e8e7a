"""How much of the classes a model's latents hold: three classifiers on the same few labels."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

import numpy as np
import torch
from jaxtyping import Int64
from rich.table import Table
from torch import Tensor

from gen_dist.bundle.bundle import Bundle
from gen_dist.capabilities import BuildsOn, Encodes, capabilities
from gen_dist.data.dataset import Dataset
from gen_dist.data.order import random_generator
from gen_dist.distributed.seeding import seed_for, seeded
from gen_dist.learner import Learner, ModelConfig
from gen_dist.models.classifier.probe import ProbeClassifier, ProbeConfig
from gen_dist.optimization import Adam, LearningRateSchedule
from gen_dist.training.fit import train_to_end
from gen_dist.training.settings import TrainingConfig
from gen_dist.types import DataSpec, ImageBatch
from gen_dist.workflows.foundation import SecondStage

Way = Literal["linear probe", "fine-tuning", "from scratch"]
WAYS: tuple[Way, ...] = get_args(Way)
_LEARNING_RATES: dict[Way, float] = {"linear probe": 1e-2, "fine-tuning": 1e-3, "from scratch": 1e-3}
_CHUNK = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSettings:
    """What a measurement is asked to do.

    Attributes:
        num_labels: labelled training images, the same for all three classifiers.
        num_seeds: independent choices of these images, of initial weights and of the order.
        images: drawn in each training, each labelled image many times.
        batch_size: at most; fewer when there are fewer labelled images.
    """

    num_labels: int
    num_seeds: int = 3
    images: int = 20_000
    batch_size: int = 32

    def __post_init__(self) -> None:
        for name in ("num_labels", "num_seeds", "images", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class WayResult:
    """One kind of classifier.

    Attributes:
        accuracies: on the test split, by seed.
        accuracy: their mean.
        standard_error: of the mean over the seeds; None for one seed.
        num_weights: that moved.
    """

    accuracies: tuple[float, ...]
    accuracy: float
    standard_error: float | None
    num_weights: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeReport:
    """A measurement.

    Attributes:
        model: digest of the bundle.
        dataset_digest: of the data.
        num_test: test images.
        settings: what was asked.
        ways: results by kind of classifier.
    """

    model: str
    dataset_digest: str
    num_test: int
    settings: ProbeSettings
    ways: dict[str, WayResult]


def probe(
    bundle: Bundle,
    dataset: Dataset,
    settings: ProbeSettings,
    *,
    device: torch.device | None = None,
    tell: Callable[[str], None] = lambda _text: None,
) -> ProbeReport:
    """Train every kind of classifier at every seed.

    A model that builds on another is probed by the other, which is where its latents come from. A model without weights
    on the way to its latents has a linear probe only.

    Args:
        bundle: the model; its weights are copied, not changed.
        dataset: labelled, of images like the model's.
        settings: what to do.
        device: where to train.
        tell: told what runs now.

    Raises:
        ValueError: the model does not encode, or the data does not suit.
    """
    learner, config = _encoder_of(bundle)
    _check(learner, bundle.spec, dataset.spec)
    train, test = dataset.read("train"), dataset.read("test")
    moving = ProbeConfig(encoder=learner, frozen=True).build(dataset.spec).num_encoder_weights > 0
    found: dict[Way, list[tuple[float, int]]] = {way: [] for way in (WAYS if moving else WAYS[:1])}
    for seed in range(settings.num_seeds):
        stream = LabelledImages(_chosen(train, dataset.spec, settings.num_labels, seed), dataset.spec, seed)
        for way, results in found.items():
            tell(f"{way}, seed {seed}")
            classifier = _trained(way, learner, config, settings, seed, stream, device)
            num_weights = classifier.output.weight.numel() + classifier.output.bias.numel()
            if way != "linear probe":
                num_weights += classifier.num_encoder_weights
            results.append((_accuracy(classifier, test), num_weights))
    return ProbeReport(
        model=bundle.digest,
        dataset_digest=dataset.digest,
        num_test=len(test),
        settings=settings,
        ways={way: _summary(results) for way, results in found.items()},
    )


def report_view(report: ProbeReport) -> Table:
    """A measurement for people."""
    settings = report.settings
    title = f"{settings.num_labels} labelled images, {report.num_test} test images, {settings.num_seeds} seeds"
    table = Table("classifier", "weights that move", "test accuracy", title=title)
    for way, result in report.ways.items():
        error = "" if result.standard_error is None else f" ± {100 * result.standard_error:.1f}"
        table.add_row(way, f"{result.num_weights:,}", f"{100 * result.accuracy:.1f}{error} %")
    return table


@final
class LabelledImages:
    """A few labelled images in an endless shuffled order, each position a function of the seed."""

    def __init__(self, batch: ImageBatch, spec: DataSpec, seed: int) -> None:
        self._batch, self._seed = batch, seed
        self.spec = spec
        self.num_images = len(batch)

    def take(self, start: int, count: int) -> ImageBatch:
        """The images at positions [start, start + count)."""
        num = self.num_images
        epochs = range(start // num, (start + count - 1) // num + 1)
        order = np.concatenate([random_generator("probe", self._seed, epoch).permutation(num) for epoch in epochs])
        first = start - epochs[0] * num
        chosen = torch.from_numpy(order[first : first + count])
        labels = self._batch.labels
        return ImageBatch(images=self._batch.images[chosen], labels=None if labels is None else labels[chosen])

    def prefetch(self, start: int, count: int) -> None:
        """Everything is in memory already."""


def _encoder_of(bundle: Bundle) -> tuple[Learner, ModelConfig]:
    learner: Learner = bundle.learner
    config: ModelConfig = bundle.config
    if isinstance(learner, BuildsOn) and isinstance(config, SecondStage):
        return learner.first_stage, config.foundation
    return learner, config


def _check(learner: Learner, trained_on: DataSpec, given: DataSpec) -> None:
    if not isinstance(learner, Encodes):
        abilities = ", ".join(capabilities(learner)) or "nothing but train"
        raise ValueError(
            f"{type(learner).__name__} can't be probed: it maps images to no latents (it can: {abilities})"
        )
    if trained_on.shape != given.shape:
        raise ValueError(
            f"the model encodes images of {trained_on.shape} (channels, height, width), the data has {given.shape}"
        )


def _chosen(train: ImageBatch, spec: DataSpec, num: int, seed: int) -> ImageBatch:
    """As many images of each class as of any other, or one more where they do not divide."""
    classes = spec.num_classes
    if train.labels is None or num < classes:
        raise ValueError(f"--labels {num}: give at least one for each of the {classes} classes")
    random = random_generator("labelled images", seed)
    shares = np.full(classes, num // classes)
    shares[random.permutation(classes)[: num % classes]] += 1
    labels = train.labels.numpy()
    rows: list[Any] = []
    for label, share in enumerate(shares):
        of_class = np.flatnonzero(labels == label)
        if len(of_class) < share:
            name = spec.class_names[label]
            raise ValueError(f"--labels {num}: class {name!r} has {len(of_class)} training images, {share} are needed")
        rows.append(random.permutation(of_class)[:share])
    index: Int64[Tensor, " n"] = torch.from_numpy(np.concatenate(rows))
    return ImageBatch(images=train.images[index], labels=train.labels[index])


def _trained(
    way: Way,
    learner: Learner,
    config: ModelConfig,
    settings: ProbeSettings,
    seed: int,
    stream: LabelledImages,
    device: torch.device | None,
) -> ProbeClassifier:
    if way == "from scratch":
        with seeded(seed_for("scratch", seed)):
            learner = config.build(stream.spec)
    model = ProbeConfig(
        encoder=learner,
        frozen=way == "linear probe",
        prepare_encoder=way == "from scratch",
        optimizer=Adam(learning_rate=_LEARNING_RATES[way]),
        schedule=LearningRateSchedule(decay="cosine", decay_end_images=settings.images),
    )
    training = TrainingConfig(
        images=settings.images,
        batch_size=min(settings.batch_size, stream.num_images),
        rounds_per_report=100,
        checkpoint_every_seconds=None,
    )
    classifier = train_to_end(model, training, seed, stream, device=device)
    assert isinstance(classifier, ProbeClassifier), "what ProbeConfig builds"
    return classifier


@torch.no_grad()
def _accuracy(classifier: ProbeClassifier, test: ImageBatch) -> float:
    device = classifier.output.weight.device
    logits = torch.cat([classifier.logits(images.to(device)).cpu() for images in torch.split(test.images, _CHUNK)])
    assert test.labels is not None, "a dataset with classes has labels"
    return float((logits.argmax(1) == test.labels).double().mean())


def _summary(results: list[tuple[float, int]]) -> WayResult:
    accuracies = tuple(accuracy for accuracy, _ in results)
    error = statistics.stdev(accuracies) / math.sqrt(len(accuracies)) if len(accuracies) > 1 else None
    return WayResult(
        accuracies=accuracies, accuracy=statistics.fmean(accuracies), standard_error=error, num_weights=results[0][1]
    )
