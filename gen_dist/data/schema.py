"""What a dataset looks like on disk: the manifest, and the columns of a shard.

manifest.json                      written last: a dataset exists whole or not at all
train/00000-1f0c2d3e4a5b.parquet   shards; part of their digest stands in the name
validation/...  test/...
"""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from gen_dist.data.errors import DataError
from gen_dist.serialization import converter, from_json, to_json
from gen_dist.types import DataSpec

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One Parquet file.

    Attributes:
        path: key below the dataset.
        rows: number of images.
        rows_per_group: rows of every row group but the last, which may have fewer.
        size_bytes: of the file.
        sha256: of the file; verified when it is read.
        content_sha256: of ids, labels, texts, pixels and those of sources; unlike the file's, it does not depend on
            the library that wrote the file.
    """

    path: str
    rows: int
    rows_per_group: int
    size_bytes: int
    sha256: str
    content_sha256: str

    @property
    def group_rows(self) -> tuple[int, ...]:
        """Rows of each row group."""
        whole, rest = divmod(self.rows, self.rows_per_group)
        return (self.rows_per_group,) * whole + ((rest,) if rest else ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """One part of a dataset.

    Attributes:
        rows: number of images.
        class_counts: images of each class, in the order of the class names.
        shards: in the order in which their rows are numbered.
    """

    rows: int
    class_counts: tuple[int, ...]
    shards: tuple[Shard, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where a dataset came from.

    Attributes:
        source: what was imported.
        options: the options of the import that were not left at their default, as text.
        gen_dist_version: that imported it.
        created: UTC time, ISO 8601.
        num_skipped: bad images left out on request.
    """

    source: str
    options: dict[str, str]
    gen_dist_version: str
    created: str
    num_skipped: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The description of a whole dataset."""

    schema_version: int
    spec: DataSpec
    has_text: bool
    splits: dict[str, Split]
    provenance: Provenance
    digest: str

    def __post_init__(self) -> None:
        if set(self.splits) != set(SPLITS):
            raise ValueError(f"splits are {sorted(self.splits)}: they must be {sorted(SPLITS)}")
        for name, split in self.splits.items():
            if split.rows != sum(shard.rows for shard in split.shards):
                raise ValueError(f"split {name} counts {split.rows} rows, its shards do not")


def digest_of(spec: DataSpec, splits: dict[str, Split]) -> str:
    """SHA-256 over all that identifies the data: shape, classes, and the contents of every split in order."""
    contents = {name: [shard.content_sha256 for shard in splits[name].shards] for name in SPLITS}
    described = converter.unstructure(spec)
    for name in ("source", "caption_bytes"):  # without them a dataset keeps the digest that it had before they existed
        if not described[name]:
            del described[name]
    text = json.dumps({"spec": described, "splits": contents}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_to_bytes(manifest: Manifest) -> bytes:
    """The text of manifest.json."""
    return (to_json(manifest, indent=2) + "\n").encode()


def manifest_from_bytes(data: bytes, uri: str) -> Manifest:
    """Inverse of `manifest_to_bytes`.

    Raises:
        DataError: it is no manifest, is of another schema version, or does not fit its own digest.
    """
    where = f"{uri}/{MANIFEST}"
    try:
        tree = json.loads(data)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error}): import the dataset again") from error
    version = tree.get("schema_version") if isinstance(tree, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{where} has schema version {version!r}, and this gen_dist reads {SCHEMA_VERSION}: import the dataset "
            "again, or use the gen_dist that wrote it"
        )
    try:
        manifest = from_json(data.decode(), Manifest)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if manifest.digest != digest_of(manifest.spec, manifest.splits):
        raise DataError(f"{where} was changed after it was written (its digest does not fit): import the dataset again")
    return manifest


def image_bytes(spec: DataSpec) -> int:
    """Size of one stored image."""
    return spec.num_dimensions


def source_bytes(spec: DataSpec) -> int:
    """Size of one stored source; 0 without sources."""
    return 0 if spec.source is None else math.prod(spec.source.shape)


def arrow_schema(spec: DataSpec, has_text: bool) -> Any:
    """Columns of a shard. Images and sources are rows of height x width x channels bytes."""
    columns: list[Any] = [
        pa.field("image", pa.binary(image_bytes(spec)), nullable=False),
        pa.field("label", pa.int64()),
        pa.field("id", pa.string(), nullable=False),
    ]
    if has_text:
        columns.append(pa.field("text", pa.string()))
    if spec.source is not None:
        columns.append(pa.field("source", pa.binary(source_bytes(spec)), nullable=False))
    return pa.schema(columns)
