"""`gen-dist import`: images in any of the layouts people have, turned into one dataset."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.split import SplitShares
from gen_dist.data.transform import Transform

MAX_SKIPPED_SHOWN = 20


def import_dataset(
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")],
    dataset_uri: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATASET_URI")],
    *,
    resize: int | None = None,
    crop: int | None = None,
    mode: Literal["grey", "rgb"] | None = None,
    validation: float = 0.1,
    test: float = 0.2,
    limit: int | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    path: Path | None = None,
    labels: Path | None = None,
    download: bool = False,
    num_images: int = 20_000,
    size: int = 32,
    num_vertices: int = 3,
    seed: int = 0,
) -> None:
    """Turn images into a dataset: Parquet shards with a manifest, whole or not at all.

    SOURCE is a folder of PNG and JPEG images (class folders become labels, folders train/ and test/ the splits), an
    IDX file or a folder of them, a .npz or .npy file, or a built-in name: digits, fashion-mnist, cifar10, imagenet32,
    polygons. DATASET_URI is a folder or s3://bucket/prefix (AWS_ENDPOINT_URL is honoured).

    Published test splits are kept; the splits that are missing are carved out by a hash of each image's id, so that
    they are the same at every import.

    Examples:
      gen-dist import digits digits-dataset
      gen-dist import photos/ s3://bucket/photos-64 --resize 64 --crop 64 --mode rgb --skip-bad
      gen-dist import cifar10 cifar10-dataset --path cifar-10-binary.tar.gz

    Args:
        source: a path or a built-in name.
        dataset_uri: where the dataset is written.
        resize: the shorter side becomes this many pixels.
        crop: the central square of this many pixels is kept (after resizing).
        mode: store grey or RGB images; by default as they are.
        validation: share of the images held out for validation, where no validation split was published.
        test: share of the images held out as the test split, where none was published.
        limit: take only this many images, chosen at random, always the same ones.
        skip_bad: leave out images that can't be read, and list them.
        overwrite: replace the dataset that is there.
        path: folder or archive of fashion-mnist, cifar10 or imagenet32.
        labels: file with the labels of a single IDX or .npy file of images.
        download: let fashion-mnist be downloaded.
        num_images: of polygons.
        size: of polygons, in pixels.
        num_vertices: of polygons.
        seed: of polygons.
    """
    source_options = SourceOptions(
        path=path,
        labels=labels,
        download=download,
        num_images=num_images,
        size=size,
        num_vertices=num_vertices,
        seed=seed,
    )
    options = ImportOptions(
        transform=Transform(mode=mode, resize=resize, crop=crop),
        shares=SplitShares(validation=validation, test=test),
        limit=limit,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    recorded = source_options.changed() | options.changed()
    imported = import_source(open_source(source, source_options), dataset_uri, options, recorded_options=recorded)
    dataset = imported.dataset
    if imported.skipped:
        print(f"{len(imported.skipped)} bad images were left out:")
        for cause in imported.skipped[:MAX_SKIPPED_SHOWN]:
            print(f"  {cause}")
        if len(imported.skipped) > MAX_SKIPPED_SHOWN:
            print(f"  and {len(imported.skipped) - MAX_SKIPPED_SHOWN} more")
    rows = ", ".join(f"{dataset.num_images(split)} {split}" for split in ("train", "validation", "test"))
    channels, height, width = dataset.spec.shape
    print(f"{dataset.uri}: {rows} images of {channels} x {height} x {width}, {dataset.spec.num_classes} classes")
    print(f"digest {dataset.digest[:12]}; look at it with `gen-dist show {dataset.uri}`")
