"""`gen-dist sample`: images from a model."""

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import UInt8
from torch import Tensor

from gen_dist.capabilities import Samples, Translates
from gen_dist.data.storage import open_storage
from gen_dist.sampling.condition import condition_of
from gen_dist.sampling.grids import save_grid, to_picture
from gen_dist.workflows.evaluate import load_model


def sample(
    model: Annotated[str, tyro.conf.Positional],
    *,
    num: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    temperature: float = 1.0,
    text: str | None = None,
    label: str | None = None,
    columns: int | None = None,
    out: Path | None = None,
    npz: Path | None = None,
    folder: Path | None = None,
) -> None:
    """Draw images from a model: one sheet to look at, or the raw pixels.

    The same seed gives the same pixels, on any machine of the same kind.

    Examples:
        gen-dist sample models:/gen-dist-digits@champion -n 64 --seed 0 --out grid.png
        gen-dist sample runs/dcgan-28/bundle -n 10000 --npz samples.npz
        gen-dist sample runs/dcgan-28/bundle -n 100 --folder samples
        gen-dist sample runs/emoji/bundle --text "red heart" -n 16
        gen-dist sample runs/gated-pixelcnn-8/bundle --label 3 -n 16

    Args:
        model: a folder or s3:// prefix that holds a bundle, or models:/name@alias.
        num: how many images.
        seed: of the noise.
        temperature: scale of the randomness; 1 is the model's own distribution.
        text: what the images shall show, for models that draw for captions; drawn from training captions if left out.
        label: name or number of a class, for class-conditional models; classes in equal shares if left out.
        columns: images in a row of the sheet; about square when left out.
        out: PNG file for a sheet of all images; grid.png unless another output is named.
        npz: file for the pixels as one array "images" (n, height, width, channels); `gen-dist import` reads it.
        folder: new folder for one PNG file per image.
    """
    bundle = load_model(model)
    if isinstance(bundle.learner, Translates) and not isinstance(bundle.learner, Samples):
        raise ValueError(
            f"{model} makes images from other images: name data with such sources, gen-dist explore translate {model} "
            "--data DATASET"
        )
    condition = condition_of(bundle.learner, bundle.spec, num, text=text, label=label)
    images = bundle.sample(num, seed=seed, condition=condition, temperature=temperature)
    if out is None and npz is None and folder is None:
        out = Path("grid.png")
    if out is not None:
        save_grid(images, out, columns)
        print(f"{num} images in {out}")
    if npz is not None:
        _write_npz(images, npz)
        print(f"{num} images in {npz}")
    if folder is not None:
        _write_folder(images, folder)
        print(f"{num} images in {folder}")


def _write_npz(images: UInt8[Tensor, "n c h w"], path: Path) -> None:
    if path.suffix != ".npz":
        raise ValueError(f"{path} is no name for a file of arrays: let it end in .npz")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images.permute(0, 2, 3, 1).contiguous().numpy())
    open_storage(path.absolute().parent).write_bytes(path.name, buffer.getvalue())


def _write_folder(images: UInt8[Tensor, "n c h w"], folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    digits = len(str(len(images) - 1))
    for index, image in enumerate(images):
        to_picture(image).save(folder / f"{index:0{digits}}.png")
