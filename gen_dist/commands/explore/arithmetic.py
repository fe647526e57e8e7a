"""`gen-dist explore arithmetic`: A minus B plus C."""

from pathlib import Path

from rich.console import Console

from gen_dist.commands.explore.options import Log, Model, Numbers
from gen_dist.sampling.animation import is_moving
from gen_dist.sampling.latents import prior_of
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import load_model
from gen_dist.workflows.exhibit import keep
from gen_dist.workflows.extractor import classifier_for
from gen_dist.workflows.families import require
from gen_dist.workflows.latent_arithmetic import (
    arithmetic_animation,
    arithmetic_sheet,
    chosen_groups,
    classified_groups,
    groups_view,
    result_of,
    result_view,
)


def arithmetic(
    model: Model,
    *,
    classes: tuple[str, str, str] | None = None,
    a: Numbers = (),
    b: Numbers = (),
    c: Numbers = (),
    data: str = "digits",
    each: int = 3,
    pool: int = 1_000,
    noise: float = 0.25,
    seed: int = 0,
    out: Path = Path("arithmetic.png"),
    log: Log = False,
) -> None:
    """Calculate with what latents mean: mean(A) - mean(B) + mean(C), each the average of some exemplars.

    The exemplars are chosen by a classifier, which is trained on the data once and kept: of many samples, those that it
    is surest to be of a class. Or a person chooses them by number, counted from 0 row by row on the sheet of `gen-dist
    sample -n 64` with the same seed. The middle one of the nine results is the sum itself; the others have a little
    noise, so that one sees whether it was luck. A file that ends in .gif or .webp shows how A turns into the result.

    Examples:
        gen-dist explore arithmetic runs/dcgan-8/bundle --data digits --classes 8 3 5
        gen-dist explore arithmetic runs/faces/bundle --a 3 17 40 --b 1 8 22 --c 5 6 61 --out smile.gif

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias; it must decode.
        classes: A, B and C as names or numbers of the data's classes.
        a: numbers of the samples that show A, where a person chooses.
        b: those that show B.
        c: those that show C.
        data: labelled dataset that the model was trained on, for its classifier; used with --classes only.
        each: exemplars of each class.
        pool: samples to choose them from.
        noise: greatest, in standard deviations of a latent.
        seed: of the samples and of the noise.
        out: PNG file for a sheet, GIF or WebP file for an animation.
        log: log the picture to MLflow, to the run that trained the model if it is known there.
    """
    moving = is_moving(out)
    if (classes is None) == (not (a or b or c)) or (classes is None and not (a and b and c)):
        raise ValueError("say what A, B and C are: either --classes A B C, or --a, --b and --c with numbers of samples")
    console = Console(highlight=False)
    bundle = load_model(model)
    learner = bundle.learner
    require(learner, "calculate with latents", "decodes")
    classifier = None
    if classes is None:
        groups = chosen_groups(learner, (a, b, c), seed=seed)
    else:
        classifier = classifier_for(dataset_of(data, console), console=console)
        with console.status(f"drawing and classifying {pool} samples"):
            groups = classified_groups(learner, classifier, classes, each=each, pool=pool, seed=seed)
    result = result_of(learner, groups, prior_of(learner), noise=noise, seed=seed)
    draw = arithmetic_animation if moving else arithmetic_sheet
    exhibit = draw(learner, groups, result, seed=seed)
    console.print(groups_view(groups))
    if classifier is not None:
        console.print(result_view(classifier, result.images), soft_wrap=True)
    keep(exhibit, out, bundle=bundle, model=model, log=log, console=console)
