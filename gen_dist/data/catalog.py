"""Which source a name or a path means: one table of the built-in names, one rule for everything else."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from gen_dist.data.errors import DataError
from gen_dist.data.sources.arrays import ArraysSource
from gen_dist.data.sources.captioned import CaptionedSource
from gen_dist.data.sources.cifar10 import Cifar10Source
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.data.sources.fashion_mnist import fashion_mnist
from gen_dist.data.sources.folder import FolderSource
from gen_dist.data.sources.glyphs import GlyphsSource
from gen_dist.data.sources.idx import IdxSource, find_idx_files, is_idx_folder
from gen_dist.data.sources.imagenet32 import ImageNet32Source
from gen_dist.data.sources.paired import PairedSource
from gen_dist.data.sources.polygons import PolygonsSource
from gen_dist.data.sources.source import Source
from gen_dist.data.sources.unpaired import UnpairedSource
from gen_dist.data.split import SplitShares

GLYPHS_OF = "glyphs:"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceOptions:
    """What some sources need to know; each takes those that the catalog names for it.

    Attributes:
        path: folder or archive of a published set; font of glyphs.
        labels: file with the labels of a single file of images.
        download: whether a published set may be downloaded.
        num_images: of a synthetic set.
        size: side of synthetic images and glyphs.
        num_vertices: of polygons.
        seed: of a synthetic set.
    """

    path: Path | None = None
    labels: Path | None = None
    download: bool = False
    num_images: int = 20_000
    size: int = 32
    num_vertices: int = 3
    seed: int = 0

    def changed(self) -> dict[str, str]:
        """The options that are not at their default, as text."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: str(value) for name, (value, default) in values.items() if value != default}


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """What is put beside the images of a source, out of other files.

    Attributes:
        captions: .csv, .jsonl or .parquet with the images' captions.
        sources: folder of what the images are to be made from, under the same names.
        unpaired_sources: a source of such images that belong to none of them in particular.
    """

    captions: Path | None = None
    sources: Path | None = None
    unpaired_sources: str | None = None

    def __post_init__(self) -> None:
        if self.sources is not None and self.unpaired_sources is not None:
            raise ValueError("--sources and --unpaired-sources exclude each other: keep one")

    @property
    def has_sources(self) -> bool:
        """Whether it brings what the images are to be made from."""
        return self.sources is not None or self.unpaired_sources is not None

    def changed(self) -> dict[str, str]:
        """What is given, as text."""
        return {field.name: str(getattr(self, field.name)) for field in fields(self) if getattr(self, field.name)}


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A source that is known by name.

    Attributes:
        open: makes it.
        takes: names of the options that it takes.
        summary: one line.
    """

    open: Callable[[SourceOptions], Source]
    takes: frozenset[str]
    summary: str


def _required_path(options: SourceOptions, name: str, what: str) -> Path:
    if options.path is None:
        raise DataError(f"{name} is not shipped and not downloaded: name {what} with --path")
    if not options.path.exists():
        raise DataError(f"{options.path} does not exist: name {what} with --path")
    return options.path


BUILT_IN: dict[str, BuiltIn] = {
    "digits": BuiltIn(lambda _: DigitsSource(), frozenset(), "1,797 handwritten digits, 8 x 8, shipped"),
    "fashion-mnist": BuiltIn(
        lambda options: fashion_mnist(options.path, may_download=options.download),
        frozenset({"path", "download"}),
        "70,000 pictures of clothes, 28 x 28",
    ),
    "cifar10": BuiltIn(
        lambda options: Cifar10Source(_required_path(options, "cifar10", "cifar-10-binary.tar.gz or its folder")),
        frozenset({"path"}),
        "60,000 RGB pictures, 32 x 32, from the binary version",
    ),
    "imagenet32": BuiltIn(
        lambda options: ImageNet32Source(_required_path(options, "imagenet32", "the folder of the npz version")),
        frozenset({"path"}),
        "1,331,167 RGB pictures, 32 x 32 (or 64 x 64), from the npz version",
    ),
    "polygons": BuiltIn(
        lambda options: PolygonsSource(
            num_images=options.num_images, size=options.size, num_vertices=options.num_vertices, seed=options.seed
        ),
        frozenset({"num_images", "size", "num_vertices", "seed"}),
        "synthetic convex polygons whose manifold is known",
    ),
    "glyphs": BuiltIn(
        lambda options: GlyphsSource(options.path, size=options.size),
        frozenset({"path", "size"}),
        "symbols or emoji drawn from a font (glyphs:FONT.ttf), with their names as captions",
    ),
}


def open_source(name: str, options: SourceOptions) -> Source:
    """The source that a user named: a built-in name, or a path. "glyphs:FONT.ttf" names a font with the glyphs.

    A path is a .npz or .npy file, an IDX file, a folder of IDX files, or a folder of PNG and JPEG images; such a folder
    may be an s3://bucket/prefix too.

    Raises:
        DataError: there is nothing of that name, or it can't be read.
        ValueError: an option was given that this source does not take.
    """
    if name.startswith(GLYPHS_OF):
        name, options = "glyphs", replace(options, path=Path(name.removeprefix(GLYPHS_OF)).expanduser())
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        _refuse_options(name, options, built_in.takes)
        return built_in.open(options)
    if name.startswith("s3://"):
        _refuse_options(name, options, frozenset())
        return FolderSource(name)
    path = Path(name).expanduser()
    if path.is_dir():
        _refuse_options(name, options, frozenset())
        return IdxSource(name, find_idx_files(path)) if is_idx_folder(path) else FolderSource(path)
    if not path.exists():
        raise DataError(f"there is no file {name}, and no built-in source of this name: {', '.join(BUILT_IN)}")
    _refuse_options(name, options, frozenset({"labels"}))
    if path.suffix in (".npz", ".npy"):
        return ArraysSource(path, options.labels)
    return IdxSource(name, find_idx_files(path, options.labels))


def open_beside(name: str, options: SourceOptions, beside: Beside, shares: SplitShares) -> Source:
    """The source that a user named, with what lies beside its images.

    Args:
        name: as for `open_source`; a folder where `beside.sources` is given.
        options: of the source.
        beside: see there.
        shares: of the splits, by which unpaired images are put together.

    Raises:
        DataError: a file or a folder can't be read.
        ValueError: an option was given that this source does not take.
    """
    if beside.sources is None:
        source = open_source(name, options)
    else:
        _refuse_options(name, options, frozenset())
        source = PairedSource(Path(name).expanduser(), beside.sources.expanduser())
    if beside.captions is not None:
        source = CaptionedSource(source, beside.captions.expanduser())
    if beside.unpaired_sources is not None:
        source = UnpairedSource(source, open_source(beside.unpaired_sources, SourceOptions()), shares)
    return source


def _refuse_options(name: str, options: SourceOptions, takes: frozenset[str]) -> None:
    for option in options.changed():
        if option not in takes:
            raise ValueError(f"--{option.replace('_', '-')} means nothing for the source {name}: leave it out")
