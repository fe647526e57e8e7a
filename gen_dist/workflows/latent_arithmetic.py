"""A minus B plus C in latent space, as a picture: exemplars, their averages, and what comes out."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, UInt8
from rich.table import Table
from torch import Tensor

from gen_dist.bundle.bundle import Bundle
from gen_dist.capabilities import Classifies
from gen_dist.evaluation.extractor import CHUNK
from gen_dist.learner import Learner
from gen_dist.sampling.arithmetic import CENTRE, NUM_RESULTS, combine, exemplars, variations
from gen_dist.sampling.draw import device_of
from gen_dist.sampling.grids import GREY, blank_images, sample_grid
from gen_dist.sampling.latents import Prior, decode_all, draw_latents, numbered_latents
from gen_dist.types import DataSpec
from gen_dist.workflows.exhibit import Exhibit

SIGNS = ("", "- ", "+ ")
FRAMES = 24
_SIDE = 3


@dataclass(frozen=True, slots=True)
class Group:
    """Latents that show one thing.

    Attributes:
        name: of the thing.
        latents: the exemplars.
        numbers: of the samples that they are, by which they are found on the sheet of `gen-dist sample`.
        named: how many of the drawn images the classifier calls so; None for exemplars that a person chose.
    """

    name: str
    latents: Float[Tensor, "n z"]
    numbers: tuple[int, ...]
    named: int | None = None


def chosen_groups(learner: Learner, groups: Sequence[Sequence[int]], *, seed: int) -> list[Group]:
    """Groups of samples that a person chose by number.

    Raises:
        ValueError: a group is empty, or a number is negative.
    """
    return [
        Group(name, numbered_latents(learner, numbers, seed=seed), tuple(numbers))
        for name, numbers in zip(("A", "B", "C"), groups, strict=True)
    ]


def classified_groups(
    learner: Learner, classifier: Bundle, classes: Sequence[str], *, each: int, pool: int, seed: int
) -> list[Group]:
    """For each class the samples that show it best: those that a classifier is surest of, among all it calls so.

    Args:
        learner: must be able to decode.
        classifier: of the data that the learner was trained on.
        classes: names of classes, or their numbers.
        each: exemplars of a class.
        pool: samples to choose from.
        seed: of the samples.

    Raises:
        ValueError: there is no such class, the classifier finds too few of one, or images have another shape.
    """
    if each < 1 or pool < each:
        raise ValueError(f"each is {each} and pool is {pool}: choose at least 1 of each, from at least as many samples")
    labels = [_label(classifier.spec, name) for name in classes]
    latents = draw_latents(learner, pool, seed=seed)
    probabilities = class_probabilities(classifier, decode_all(learner, latents, seed=seed))
    groups = []
    for label in labels:
        name = classifier.spec.class_names[label]
        named = int((probabilities.argmax(1) == label).sum())
        if named < each:
            raise ValueError(
                f"the classifier calls {named} of {pool} samples {name!r}, and {each} are needed: raise --pool, or "
                "choose another class"
            )
        found = exemplars(probabilities, label, each)
        groups.append(Group(name, latents[found.to(latents.device)], tuple(found.tolist()), named))
    return groups


@torch.no_grad()
def class_probabilities(classifier: Bundle, images: UInt8[Tensor, "n c h w"]) -> Float64[Tensor, "n k"]:
    """What a classifier makes of images.

    Raises:
        ValueError: it was trained on images of another shape.
    """
    learner = classifier.learner
    assert isinstance(learner, Classifies), "classifiers classify"
    if images.shape[1:] != classifier.spec.shape:
        raise ValueError(
            f"the model draws images of {tuple(images.shape[1:])} (channels, height, width), and the data's are "
            f"{classifier.spec.shape}: name the data that the model was trained on"
        )
    device = device_of(learner)
    logits = [learner.logits(chunk.to(device)).cpu() for chunk in torch.split(images, CHUNK)]
    return torch.cat(logits).double().softmax(1)


@dataclass(frozen=True, slots=True)
class Sum:
    """What came out.

    Attributes:
        latents: of the results; that without noise in the middle.
        images: of the results.
    """

    latents: Float[Tensor, "9 z"]
    images: UInt8[Tensor, "9 c h w"]


def result_of(learner: Learner, groups: Sequence[Group], prior: Prior, *, noise: float, seed: int) -> Sum:
    """mean(A) - mean(B) + mean(C), with noise around it in units of the prior's standard deviation.

    Raises:
        ValueError: the noise is negative.
    """
    if noise < 0:
        raise ValueError(f"noise is {noise}: it must be 0 or more")
    centre = combine(*(group.latents for group in groups))
    latents = variations(centre, noise * prior.deviation, seed=seed)
    return Sum(latents, decode_all(learner, latents, seed=seed))


def arithmetic_sheet(learner: Learner, groups: Sequence[Group], result: Sum, *, seed: int) -> Exhibit:
    """A row per group: its exemplars, their average; on the right the nine results."""
    return _exhibit(learner, groups, [result.images], seed)


def arithmetic_animation(
    learner: Learner,
    groups: Sequence[Group],
    result: Sum,
    *,
    seed: int,
    report: Callable[[float], None] = lambda _share: None,
) -> Exhibit:
    """The sheet, whose right side moves from mean(A) to the results: as much of B is taken away as of C is added."""
    start = groups[0].latents.mean(0)
    centre = result.latents[CENTRE]
    steps = []
    for index in range(FRAMES):
        share = index / (FRAMES - 1)
        moved = result.latents - (1.0 - share) * (centre - start)
        steps.append(decode_all(learner, moved, seed=seed))
        report((index + 1) / FRAMES)
    steps[-1] = result.images
    return _exhibit(learner, groups, steps, seed)


def groups_view(groups: Sequence[Group]) -> Table:
    """Who stands for what."""
    table = Table("", "exemplars (samples)", "called so by the classifier")
    for sign, group in zip(SIGNS, groups, strict=True):
        named = "" if group.named is None else f"{group.named} samples"
        table.add_row(f"{sign}{group.name}", ", ".join(map(str, group.numbers)), named)
    return table


def result_view(classifier: Bundle, images: UInt8[Tensor, "9 c h w"]) -> str:
    """What a classifier makes of the results."""
    labels = class_probabilities(classifier, images).argmax(1).tolist()
    names = [classifier.spec.class_names[label] for label in labels]
    counted = ", ".join(f"{name} ({count} of {len(names)})" for name, count in Counter(names).most_common())
    return f"the classifier calls the middle result {names[CENTRE]}; all results: {counted}"


def _exhibit(
    learner: Learner, groups: Sequence[Group], results: Sequence[UInt8[Tensor, "9 c h w"]], seed: int
) -> Exhibit:
    widest = max(len(group.latents) for group in groups)
    rows = []
    for group in groups:
        images = decode_all(learner, torch.cat([group.latents, group.latents.mean(0)[None]]), seed=seed)
        missing = blank_images(widest - len(group.latents), images)
        rows.append(torch.cat([images[:-1], missing, images[-1:]]))
    frames = []
    labels = [f"{sign}{group.name}" for sign, group in zip(SIGNS, groups, strict=True)]
    above = ["exemplars", *[""] * (widest - 1), "mean", " ".join(labels), *[""] * (_SIDE - 1)]
    gaps = (widest, widest + 1)
    for images in results:
        block = images.reshape(NUM_RESULTS // _SIDE, _SIDE, *images.shape[1:])
        sheet = torch.cat([torch.cat([row, part]) for row, part in zip(rows, block, strict=True)])
        frames.append(
            sample_grid(sheet, len(above), row_labels=labels, column_labels=above, background=GREY, gaps=gaps)
        )
    return Exhibit(
        tuple(frames),
        (0, len(frames) - 1),
        {"groups": [{"name": group.name, "samples": list(group.numbers)} for group in groups]},
    )


def _label(spec: DataSpec, name: str) -> int:
    if name in spec.class_names:
        return spec.class_names.index(name)
    if name.isdecimal() and int(name) < spec.num_classes:
        return int(name)
    raise ValueError(f"there is no class {name!r}: the classes are {', '.join(spec.class_names)}")
