"""Which source a name or a path means: one table of the built-in names, one rule for everything else."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from gen_dist.data.errors import DataError
from gen_dist.data.sources.arrays import ArraysSource
from gen_dist.data.sources.cifar10 import Cifar10Source
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.data.sources.fashion_mnist import fashion_mnist
from gen_dist.data.sources.folder import FolderSource
from gen_dist.data.sources.idx import IdxSource, find_idx_files, is_idx_folder
from gen_dist.data.sources.imagenet32 import ImageNet32Source
from gen_dist.data.sources.polygons import PolygonsSource
from gen_dist.data.sources.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceOptions:
    """What some sources need to know; each takes those that the catalog names for it.

    Attributes:
        path: folder or archive of a published set.
        labels: file with the labels of a single file of images.
        download: whether a published set may be downloaded.
        num_images: of a synthetic set.
        size: side of synthetic images.
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
}


def open_source(name: str, options: SourceOptions) -> Source:
    """The source that a user named: a built-in name, or a path.

    A path is a .npz or .npy file, an IDX file, a folder of IDX files, or a folder of PNG and JPEG images.

    Raises:
        DataError: there is nothing of that name, or it can't be read.
        ValueError: an option was given that this source does not take.
    """
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        _refuse_options(name, options, built_in.takes)
        return built_in.open(options)
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


def _refuse_options(name: str, options: SourceOptions, takes: frozenset[str]) -> None:
    for option in options.changed():
        if option not in takes:
            raise ValueError(f"--{option.replace('_', '-')} means nothing for the source {name}: leave it out")
