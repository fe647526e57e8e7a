"""Class accuracy: real images of the asked class get the classifier's own accuracy, images of any class get chance."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from gen_dist.bundle.bundle import Bundle, BundleDescription
from gen_dist.capabilities import ConditionKind
from gen_dist.evaluation.class_accuracy import ClassJudge, accuracy_by_class
from gen_dist.learner import Learner, Phase, Player
from gen_dist.models.classifier.convnet import ConvNetConfig
from gen_dist.types import DataSpec, ImageBatch

SPEC = DataSpec(channels=1, height=8, width=8, class_names=("cat", "dog", "emu"))
SIZES = (10, 20, 40)  # real images of each class
MISTAKEN = (1, 10, 4)  # of these, how many the classifier takes for the next class
OWN = [1.0 - mistaken / size for size, mistaken in zip(SIZES, MISTAKEN, strict=True)]


class Mute(Learner):
    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()


class Reader(Mute):
    """Reads the class in an image's first pixel, and errs by one where its second is lit."""

    def logits(self, images: Tensor) -> Tensor:
        classes = (images[:, 0, 0, 0] + images[:, 0, 0, 1]).long() % SPEC.num_classes
        return torch.nn.functional.one_hot(classes, SPEC.num_classes).float()

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1).float()


class Replay(Mute):
    """Shows real images of the asked class, one after the other."""

    condition_kind: ConditionKind = "label"

    def __init__(self, real: ImageBatch) -> None:
        super().__init__()
        self.real, self.shown = real, Counter[int]()

    def sample(self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        assert condition is not None
        return torch.stack([self.next_of(int(label)) for label in condition])

    def next_of(self, label: int) -> Tensor:
        own = self.real.images[self.real.labels == label]
        self.shown[label] += 1
        return own[(self.shown[label] - 1) % len(own)]


class Deaf(Replay):
    """Shows classes at random, whatever it is asked for."""

    def next_of(self, label: int) -> Tensor:
        return super().next_of(int(torch.randint(SPEC.num_classes, ())))


class Unasked(Replay):
    condition_kind: ConditionKind = "none"


def real_images() -> ImageBatch:
    labels = torch.cat([torch.full((size,), label) for label, size in enumerate(SIZES)])
    images = torch.zeros(len(labels), *SPEC.shape, dtype=torch.uint8)
    images[:, 0, 0, 0] = labels.byte()
    for label, mistaken in enumerate(MISTAKEN):
        images[(labels == label).nonzero()[:mistaken, 0], 0, 0, 1] = 1
    return ImageBatch(images=images, labels=labels)


def judge(real: ImageBatch, spec: DataSpec = SPEC, learner: Learner | None = None) -> ClassJudge:
    description = BundleDescription(
        schema_version=1, model=ConvNetConfig(), data=spec, provenance={}, weights_sha256="", digest="d"
    )
    return ClassJudge(Bundle(learner or Reader(), description), real)


def test_the_anchor_is_the_classifiers_own_accuracy_with_all_classes_alike() -> None:
    assert judge(real_images()).anchors == pytest.approx(
        {
            "class_accuracy_real": sum(OWN) / 3,
            "class_accuracy/cat_real": OWN[0],
            "class_accuracy/dog_real": OWN[1],
            "class_accuracy/emu_real": OWN[2],
        },
        rel=1e-12,
    )


def test_real_images_of_the_asked_class_get_the_classifiers_own_accuracy() -> None:
    """Exactly: 40 images of each class show all its real images equally often."""
    real = real_images()
    whom = judge(real)
    figures = whom.figures(Replay(real), 120, seed=0)
    error = figures.pop("class_accuracy_error")
    assert {f"{name}_real": value for name, value in figures.items()} == pytest.approx(whom.anchors, rel=1e-12)
    share = figures["class_accuracy"]
    assert error == pytest.approx(math.sqrt(share * (1 - share) / 120), rel=1e-12)


def test_a_model_that_ignores_the_label_gets_chance() -> None:
    """Within four standard errors of a share of 1/3 over 3,000 images."""
    figures = judge(real_images()).figures(Deaf(real_images()), 3000, seed=0)
    chance = 1 / SPEC.num_classes
    assert abs(figures["class_accuracy"] - chance) < 4 * math.sqrt(chance * (1 - chance) / 3000)


def test_models_that_take_no_label_are_not_judged() -> None:
    assert judge(real_images()).figures(Unasked(real_images()), 30, seed=0) == {}
    assert judge(real_images()).figures(Mute(), 30, seed=0) == {}


def test_classes_without_images_have_no_figure() -> None:
    shares = accuracy_by_class(torch.tensor([0, 2, 0]), torch.tensor([0, 2, 2]), 3)
    assert shares.nan_to_num(-1.0).tolist() == [1.0, -1.0, 0.5]
    figures = judge(real_images()).figures(Replay(real_images()), 2, seed=0)  # too few to ask for the third
    assert "class_accuracy/dog" in figures
    assert "class_accuracy/emu" not in figures


def test_classes_of_one_name_keep_a_figure_each() -> None:
    twins = DataSpec(channels=1, height=8, width=8, class_names=("cat", "cat", "emu"))
    assert {"class_accuracy/0 cat_real", "class_accuracy/1 cat_real"} <= judge(real_images(), twins).anchors.keys()


def test_what_can_not_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="Mute can't classify images"):
        judge(real_images(), learner=Mute())
    with pytest.raises(ValueError, match="the images have no labels"):
        judge(ImageBatch(images=real_images().images))
