"""`gen-dist show`: what a dataset holds, in words and in one picture."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from gen_dist.data.captions import decode_captions
from gen_dist.data.contact_sheet import contact_sheet
from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.data.schema import SPLITS
from gen_dist.data.storage_local import replacing
from gen_dist.types import DataSpec, ImageBatch

MAX_CLASSES_SHOWN = 100
IMAGES_SHOWN_FROM = 2000
CAPTIONS_SHOWN = 3
_PAIRING = {True: "paired", False: "unpaired: other partners in every epoch"}


def show(
    dataset_uri: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATASET_URI")],
    *,
    out: Path = Path("contact-sheet.png"),
) -> None:
    """Print a dataset's manifest and class counts, and draw a contact sheet of it.

    On the sheet, what an image is to be made from stands to the left of it, and its caption below it.

    Example:
      gen-dist show digits-dataset --out digits.png

    Args:
        dataset_uri: a folder or s3://bucket/prefix.
        out: PNG file to write: a row of training images for each class.
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out is {out}: the contact sheet is a PNG file, name it {out.with_suffix('.png')}")
    dataset = open_dataset(dataset_uri)
    console = Console(soft_wrap=True, highlight=False)
    head = dataset.head("train", IMAGES_SHOWN_FROM)
    for name, value in (*_facts(dataset), *_captions(dataset.spec, head)):
        console.print(f"{name:<12}{value}", markup=False)
    console.print(_table(dataset))
    sheet = contact_sheet(head, dataset.spec)
    with replacing(out) as file:
        sheet.save(file, format="PNG")
    print(f"contact sheet: {out}")


def _facts(dataset: Dataset) -> list[tuple[str, str]]:
    manifest = dataset.manifest
    options = ", ".join(f"{name}={value}" for name, value in sorted(manifest.provenance.options.items()))
    size_bytes = sum(shard.size_bytes for split in manifest.splits.values() for shard in split.shards)
    num_shards = sum(len(split.shards) for split in manifest.splits.values())
    images = _shape(*dataset.spec.shape)
    made_from = dataset.spec.source
    return [
        ("dataset", dataset.uri),
        ("digest", dataset.digest),
        ("images", images + ", with texts" * manifest.has_text),
        *([("made from", f"{_shape(*made_from.shape)}, {_PAIRING[made_from.paired]}")] if made_from else []),
        ("stored", f"{num_shards} shards, {size_bytes:,} bytes, schema version {manifest.schema_version}"),
        ("source", manifest.provenance.source + (f" ({options})" if options else "")),
        ("imported", f"{manifest.provenance.created} by gen_dist {manifest.provenance.gen_dist_version}"),
        ("left out", f"{manifest.provenance.num_skipped} bad images"),
    ]


def _captions(spec: DataSpec, head: ImageBatch) -> list[tuple[str, str]]:
    if head.captions is None:
        return []
    shown = [repr(caption) for caption in decode_captions(head.captions[:CAPTIONS_SHOWN])]
    return [("captions", f"at most {spec.caption_bytes} bytes: {', '.join(shown)}, ...")]


def _shape(channels: int, height: int, width: int) -> str:
    return f"{height} x {width}, {'grey' if channels == 1 else 'RGB'}"


def _table(dataset: Dataset) -> Table:
    splits = dataset.manifest.splits
    table = Table("class", *SPLITS)
    for column in table.columns[1:]:
        column.justify = "right"
    names = dataset.spec.class_names
    for label, name in enumerate(names[:MAX_CLASSES_SHOWN]):
        table.add_row(name, *(str(splits[split].class_counts[label]) for split in SPLITS))
    if len(names) > MAX_CLASSES_SHOWN:
        table.add_row(f"... and {len(names) - MAX_CLASSES_SHOWN} more classes")
    table.add_section()
    table.add_row("all images", *(str(splits[split].rows) for split in SPLITS))
    return table
