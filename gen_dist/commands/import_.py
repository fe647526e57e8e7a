"""`gen-dist import`: images in any of the layouts people have, turned into one dataset."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from gen_dist.cluster.importing import on_cluster
from gen_dist.data.catalog import Beside, SourceOptions, open_beside
from gen_dist.data.importing import Imported, ImportOptions, import_source
from gen_dist.data.pairs import pair_rule
from gen_dist.data.piecewise import import_in_pieces
from gen_dist.data.sources.folder import FolderSource
from gen_dist.data.sources.unpaired import UnpairedSource
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
    pairs: str | None = None,
    sources: Path | None = None,
    unpaired_sources: str | None = None,
    captions: Path | None = None,
    validation: float = 0.1,
    test: float = 0.2,
    limit: int | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    ray: bool = False,
    path: Path | None = None,
    labels: Path | None = None,
    download: bool = False,
    num_images: int = 20_000,
    size: int = 32,
    num_vertices: int = 3,
    seed: int = 0,
) -> None:
    """Turn images into a dataset: Parquet shards with a manifest, whole or not at all.

    SOURCE is a folder of PNG and JPEG images, or an s3://bucket/prefix of them (class folders become labels, folders
    train/ and test/ the splits), an IDX file or a folder of them, a .npz or .npy file, or a built-in name: digits,
    fashion-mnist, cifar10, imagenet32, polygons, glyphs (symbols with their names as captions; glyphs:FONT.ttf draws
    them from a font of yours).
    DATASET_URI is a folder or s3://bucket/prefix (AWS_ENDPOINT_URL is honoured).

    Published test splits are kept; the splits that are missing are carved out by a hash of each image's id, so that
    they are the same at every import.

    To translate images, each needs what it is to be made from: computed from it or cut from the same file (--pairs),
    from a folder with the same names (--sources), or any image of another set (--unpaired-sources). Captions come from
    text files beside the images (cat.png, cat.txt) or from one table (--captions).

    Examples:
      gen-dist import digits digits-dataset
      gen-dist import photos/ s3://bucket/photos-64 --resize 64 --crop 64 --mode rgb --skip-bad
      gen-dist import s3://bucket/raw-photos s3://bucket/photos-64 --resize 64 --crop 64 --mode rgb --ray
      gen-dist import cifar10 cifar10-dataset --path cifar-10-binary.tar.gz
      gen-dist import digits digits-edges --pairs edges
      gen-dist import fashion-mnist fashion-small --pairs low-resolution:4
      gen-dist import facades/ facades-dataset --pairs right --resize 64 --mode rgb
      gen-dist import photos/ photos-of-sketches --sources sketches/ --resize 64 --crop 64
      gen-dist import zebras/ zebras-of-horses --unpaired-sources horses/ --resize 64 --crop 64 --mode rgb
      gen-dist import birds/ birds-dataset --captions birds.jsonl --resize 64 --crop 64
      gen-dist import glyphs symbols
      gen-dist import glyphs:/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf emoji

    Args:
        source: a path or a built-in name.
        dataset_uri: where the dataset is written.
        resize: the shorter side becomes this many pixels; of sources too.
        crop: the central square of this many pixels is kept (after resizing); of sources too.
        mode: store grey or RGB images (and sources); by default as they are.
        pairs: what each image is to be made from: edges (a drawing of its edges; edges:0.1 draws fainter ones too),
            grey (itself without colours), low-resolution:4 (itself, 4 times smaller), or left or right (that half of
            its file, as pix2pix publishes pairs).
        sources: folder of what each image is to be made from, under the same name (the ending may differ).
        unpaired_sources: a folder, file or built-in name of images to make these from that belong to none of them in
            particular; every epoch puts them together anew. The smaller set is repeated.
        captions: .csv, .jsonl or .parquet file with the columns file (path below SOURCE) and caption.
        validation: share of the images held out for validation, where no validation split was published.
        test: share of the images held out as the test split, where none was published.
        limit: take only this many images, chosen at random, always the same ones.
        skip_bad: leave out images that can't be read or lack a counterpart or a caption, and list them.
        overwrite: replace the dataset that is there.
        ray: share the work out over the Ray cluster that RAY_ADDRESS names, or over this machine's processors. The
            result is the same. Interrupted, the same command goes on; what is finished is kept. For a folder or an
            s3:// prefix of images, which all machines must see, as they must DATASET_URI.
        path: folder or archive of fashion-mnist, cifar10 or imagenet32; font of glyphs.
        labels: file with the labels of a single IDX or .npy file of images.
        download: let fashion-mnist be downloaded.
        num_images: of polygons.
        size: of polygons and glyphs, in pixels.
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
    beside = Beside(captions=captions, sources=sources, unpaired_sources=unpaired_sources)
    if pairs is not None and beside.has_sources:
        raise ValueError("--pairs makes sources out of the images, and others are given beside them: keep one")
    options = ImportOptions(
        transform=Transform(mode=mode, resize=resize, crop=crop),
        pairs=None if pairs is None else pair_rule(pairs),
        shares=SplitShares(validation=validation, test=test),
        limit=limit,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    recorded = source_options.changed() | beside.changed() | options.changed()
    opened = open_beside(source, source_options, beside, options.shares)
    if isinstance(opened, UnpairedSource) and opened.repeated:
        print(f"The smaller set is repeated: {opened.repeated}")
        recorded["repeated"] = opened.repeated
    if not ray:
        imported = import_source(opened, dataset_uri, options, recorded_options=recorded)
    elif isinstance(opened, FolderSource):
        imported = import_in_pieces(opened, dataset_uri, options, carry_out=on_cluster, recorded_options=recorded)
    else:
        raise ValueError(
            f"--ray shares out a folder or an s3:// prefix of images, with captions in text files beside them, and "
            f"{source} with these options is something else: leave --ray out"
        )
    _print_result(imported)


def _print_result(imported: Imported) -> None:
    dataset = imported.dataset
    if imported.skipped:
        print(f"{len(imported.skipped)} bad images were left out:")
        for cause in imported.skipped[:MAX_SKIPPED_SHOWN]:
            print(f"  {cause}")
        if len(imported.skipped) > MAX_SKIPPED_SHOWN:
            print(f"  and {len(imported.skipped) - MAX_SKIPPED_SHOWN} more")
    spec = dataset.spec
    rows = ", ".join(f"{dataset.num_images(split)} {split}" for split in ("train", "validation", "test"))
    channels, height, width = spec.shape
    print(f"{dataset.uri}: {rows} images of {channels} x {height} x {width}, {spec.num_classes} classes")
    if spec.source is not None:
        channels, height, width = spec.source.shape
        kind = "paired" if spec.source.paired else "unpaired"
        print(f"to be made from {kind} images of {channels} x {height} x {width}")
    if spec.caption_bytes:
        print(f"with captions of at most {spec.caption_bytes} bytes")
    print(f"digest {dataset.digest[:12]}; look at it with `gen-dist show {dataset.uri}`")
