"""Whether images show the class that they were drawn for, by the judgement of a classifier.

The figure is only as good as the classifier, so it is read beside what the same classifier makes of real images. A
network that helped to train a generator, or to choose among several, is partial to it: judge with another one.
"""

import math
from typing import final

import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from gen_dist.bundle.bundle import Bundle
from gen_dist.capabilities import Classifies, Conditions, Samples, capabilities
from gen_dist.learner import Learner
from gen_dist.sampling.draw import device_of, draw_samples, evaluation_mode
from gen_dist.types import ImageBatch

CLASS_ACCURACY = "class_accuracy"
PER_CLASS = f"{CLASS_ACCURACY}/"
"""Figures of single classes begin with this; the name of the class follows."""
_CHUNK = 256  # images classified at a time


def draws_for_labels(learner: Learner) -> bool:
    """Whether a learner can be asked for images of a class."""
    return isinstance(learner, Samples) and isinstance(learner, Conditions) and learner.condition_kind == "label"


def accuracy_by_class(
    predicted: Int64[Tensor, " n"], labels: Int64[Tensor, " n"], num_classes: int
) -> Float64[Tensor, " k"]:
    """Share of each class's images that are taken for that class; nan for a class without images."""
    right = torch.bincount(labels[predicted == labels], minlength=num_classes).double()
    return right / torch.bincount(labels, minlength=num_classes)


@final
class ClassJudge:
    """Judges what models draw for labels. Made once: what it makes of real images is kept.

    Args:
        classifier: judges; trained on the training split, with a network of its own.
        real: images that it has not seen, with their labels.

    Attributes:
        digest: identifies the classifier.
        anchors: its accuracy on the real images, of each class ("class_accuracy/cat_real") and their mean
            ("class_accuracy_real"): models are asked for all classes equally often, so all weigh alike here too.

    Raises:
        ValueError: the model classifies nothing, or the images have no labels.
    """

    def __init__(self, classifier: Bundle, real: ImageBatch) -> None:
        if not isinstance(classifier.learner, Classifies):
            abilities = ", ".join(capabilities(classifier.learner)) or "nothing but train"
            raise ValueError(f"{type(classifier.learner).__name__} can't classify images; what it can do: {abilities}")
        if real.labels is None:
            raise ValueError("a judge of classes was given, and the images have no labels: leave it out")
        self.digest = classifier.digest
        self._classifier = classifier.learner
        names = classifier.spec.class_names
        unique = len(set(names)) == len(names)
        self._names = names if unique else tuple(f"{label} {name}" for label, name in enumerate(names))
        shares = accuracy_by_class(self._classes(real.images), real.labels, len(names))
        self.anchors = {f"{name}_real": share for name, share in self._by_name(shares).items()}

    def figures(self, learner: Learner, num: int, *, seed: int) -> dict[str, float]:
        """How many of `num` images show the class that they were drawn for; nothing for one that takes no labels.

        Args:
            learner: draws.
            num: images, of each class equally many or one more.
            seed: of the learner's noise.
        """
        if not draws_for_labels(learner):
            return {}
        labels = torch.arange(num) % len(self._names)
        predicted = self._classes(draw_samples(learner, num, seed=seed, condition=labels))
        figures = self._by_name(accuracy_by_class(predicted, labels, len(self._names)))
        share = float((predicted == labels).double().mean())
        error = math.sqrt(share * (1.0 - share) / num)
        return {**figures, CLASS_ACCURACY: share, f"{CLASS_ACCURACY}_error": error}

    def _by_name(self, shares: Float64[Tensor, " k"]) -> dict[str, float]:
        """The mean over the classes that there are images of, and each of these."""
        known = {name: share for name, share in zip(self._names, shares.tolist(), strict=True) if not math.isnan(share)}
        return {
            CLASS_ACCURACY: sum(known.values()) / len(known),
            **{f"{PER_CLASS}{name}": share for name, share in known.items()},
        }

    def _classes(self, images: UInt8[Tensor, "n c h w"]) -> Int64[Tensor, " n"]:
        assert isinstance(self._classifier, Classifies), "checked when the judge was made"
        device = device_of(self._classifier)
        with evaluation_mode(self._classifier), torch.no_grad():
            logits = [self._classifier.logits(chunk.to(device)).cpu() for chunk in torch.split(images, _CHUNK)]
        return torch.cat(logits).argmax(dim=1)
