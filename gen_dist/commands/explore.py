"""`gen-dist explore`: look at what a model knows."""

from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console

from gen_dist.evaluation.fidelity import fidelity
from gen_dist.evaluation.protocol import Split
from gen_dist.sampling.explore import completions, latent_plane, reconstructions
from gen_dist.sampling.grids import save_grid
from gen_dist.sampling.translate import translation_sheet, translations
from gen_dist.workflows.datasets import dataset_of
from gen_dist.workflows.evaluate import load_model


def complete(
    model: Annotated[str, tyro.conf.Positional],
    *,
    data: str = "digits",
    split: Split = "test",
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    each: int = 6,
    rows: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    out: Path = Path("completions.png"),
) -> None:
    """Let a model that draws from top to bottom finish images of which it is given the upper part.

    A row of the sheet holds an image, what the model sees of it, and what it made of that, several times.

    Examples:
        gen-dist explore complete runs/gated-pixelcnn-28/bundle --data fashion --out completions.png

        gen-dist explore complete models:/digits@champion --rows 3 --temperature 0.8

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        data: URI of a dataset (a folder or s3://bucket/prefix), or the built-in digits or polygons.
        split: that the images are taken from.
        num: images to finish.
        each: how often each.
        rows: known rows from the top; half of them when left out.
        seed: of the choice of images and of the noise.
        temperature: scale of the randomness; 1 is the model's own distribution.
        out: PNG file.
    """
    dataset = dataset_of(data, Console(stderr=True))
    images = dataset.read(split, limit=num, seed=seed).images
    known = dataset.spec.height // 2 if rows is None else rows
    sheet = completions(
        load_model(model).learner, images, num_rows=known, num_each=each, seed=seed, temperature=temperature
    )
    save_grid(sheet, out, columns=each + 2)
    print(f"{len(images)} images, {each} completions of each in {out}")


def reconstruct(
    model: Annotated[str, tyro.conf.Positional],
    *,
    data: str = "digits",
    split: Split = "test",
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 12,
    seed: int = 0,
    out: Path = Path("reconstructions.png"),
) -> None:
    """Encode images and decode them again: the upper row holds the images, the lower one what is left of them.

    Examples:
        gen-dist explore reconstruct runs/vae-28/bundle --data fashion --out reconstructions.png

        gen-dist explore reconstruct models:/digits@champion -n 20

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        data: URI of a dataset (a folder or s3://bucket/prefix), or the built-in digits or polygons.
        split: that the images are taken from.
        num: images to reconstruct.
        seed: of the choice of images, and of noise if the model draws any.
        out: PNG file.
    """
    images = dataset_of(data, Console(stderr=True)).read(split, limit=num, seed=seed).images
    rebuilt = reconstructions(load_model(model).learner, images, seed=seed)
    save_grid(torch.cat([images, rebuilt]), out, columns=len(images))
    error = (images.float() - rebuilt.float()).square().mean().sqrt()
    print(f"{len(images)} images above their reconstructions in {out}; root mean square error {error:.2f} of 255")


def translate(
    model: Annotated[str, tyro.conf.Positional],
    *,
    data: str,
    split: Split = "test",
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    seed: int = 0,
    out: Path = Path("translations.png"),
) -> None:
    """Let a model that makes one image from another translate the sources of a dataset.

    A row of the sheet holds a source, what the model made of it and, where sources and images are pairs, the image
    that it should have made.

    Examples:
        gen-dist explore translate runs/pix2pix-28/bundle --data shoes --out translations.png

        gen-dist explore translate runs/cyclegan-28/bundle --data s3://bucket/horses -n 16

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        data: URI of a dataset with sources (a folder or s3://bucket/prefix).
        split: that the sources are taken from.
        num: sources to translate.
        seed: of the choice of sources, and of noise if the model draws any.
        out: PNG file.
    """
    dataset = dataset_of(data, Console(stderr=True))
    pairs = dataset.read(split, limit=num, seed=seed)
    if pairs.sources is None or dataset.spec.source is None:
        raise ValueError(f"{dataset.uri} has no sources to translate: import it with them (`gen-dist import --help`)")
    made = translations(load_model(model).learner, pairs.sources, seed=seed)
    sheet, together = translation_sheet(made, pairs, dataset.spec)
    save_grid(sheet, out, columns=together)
    text = f"{len(made)} sources beside their translations in {out}"
    if dataset.spec.source.paired:
        figures = fidelity(made, pairs.images)
        text += f"; L1 {figures['l1']:.2f} of 255, PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.3f}"
    print(text)


def manifold(
    model: Annotated[str, tyro.conf.Positional],
    *,
    side: int = 20,
    out: Path = Path("manifold.png"),
) -> None:
    """Draw the plane of a model with two latent dimensions: neighbours on the sheet are neighbours in latent space.

    Examples:
        gen-dist train vae-28 --data fashion --model.latent-dim 2 --name plane

        gen-dist explore manifold runs/plane/bundle --out manifold.png

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        side: images along each side.
        out: PNG file.
    """
    save_grid(latent_plane(load_model(model).learner, side), out, columns=side)
    print(f"{side} x {side} images in {out}")
