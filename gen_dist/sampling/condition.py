"""What a person asks for, a text or a class, as the condition that a model draws for."""

import torch
from torch import Tensor

from gen_dist.capabilities import ConditionKind, Conditions, Samples
from gen_dist.data.captions import encode_captions
from gen_dist.learner import Learner
from gen_dist.types import DataSpec


def condition_of(
    learner: Learner, spec: DataSpec, num: int, *, text: str | None = None, label: str | None = None
) -> Tensor | None:
    """The condition of `num` images that all show the same; None when nothing is asked for.

    Args:
        learner: what will draw.
        spec: of the data that it was trained on.
        num: how many images.
        text: what they shall show, for models that draw for captions.
        label: name or number of a class, for models that draw for labels.

    Raises:
        ValueError: both are given, the model takes no such condition, or what is given can't be a condition.
    """
    if text is not None and label is not None:
        raise ValueError(f"text is {text!r} and label is {label!r}: give one of them")
    if text is None and label is None:
        return None
    _check_kind(learner, "label" if text is None else "caption")
    if text is not None:
        return caption_of(text, spec).expand(num, -1)
    assert label is not None
    return torch.full((num,), label_of(label, spec))


def caption_of(text: str, spec: DataSpec) -> Tensor:
    """One row of UTF-8 bytes, filled up with zeros; ValueError if it is empty or longer than every known caption."""
    num_bytes = len(text.encode())
    if not text.strip() or "\0" in text:
        raise ValueError(f"text is {text!r}: say what the images shall show")
    if num_bytes > spec.caption_bytes:
        raise ValueError(
            f"text has {num_bytes} bytes in UTF-8, and the longest caption that the model was trained on has "
            f"{spec.caption_bytes}: say it in fewer words"
        )
    return encode_captions([text], spec.caption_bytes)


def label_of(label: str, spec: DataSpec) -> int:
    """The number of a class, given its name or its number; ValueError if there is none such."""
    if label in spec.class_names:
        return spec.class_names.index(label)
    if label.isdecimal() and int(label) < spec.num_classes:
        return int(label)
    raise ValueError(
        f"label is {label!r}: give a class's name ({', '.join(spec.class_names)}) or its number "
        f"(0 to {spec.num_classes - 1})"
    )


def _check_kind(learner: Learner, asked: ConditionKind) -> None:
    kind: ConditionKind = learner.condition_kind if isinstance(learner, Conditions) else "none"
    if kind == asked or not isinstance(learner, Samples):  # who draws nothing is refused when asked to draw
        return
    names = {"caption": "text", "label": "label"}
    instead = f"it draws for a {names[kind]}" if kind in names else "it draws without a condition: leave it out"
    raise ValueError(f"{type(learner).__name__} takes no {names[asked]}; {instead}")
