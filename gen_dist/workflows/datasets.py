"""The data that a command was given: a dataset's URI, or the name of one that is built in."""

from pathlib import Path

from rich.console import Console

from gen_dist.data.catalog import SourceOptions, open_source
from gen_dist.data.dataset import Dataset, open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.pairs import Edges
from gen_dist.data.schema import MANIFEST

EMBEDDED: dict[str, tuple[str, ImportOptions]] = {
    "digits": ("digits", ImportOptions()),
    "digits-edges": ("digits", ImportOptions(pairs=Edges())),
    "polygons": ("polygons", ImportOptions()),
    "glyphs": ("glyphs", ImportOptions()),
}
EMBEDDED_FOLDER = Path("gen-dist-data")


def is_embedded(name_or_uri: str) -> bool:
    """Whether `dataset_of` makes it by itself, because it is no folder and built in."""
    return name_or_uri in EMBEDDED and not Path(name_or_uri).exists()


def dataset_of(name_or_uri: str, console: Console) -> Dataset:
    """Open a dataset; one that needs no download is imported below ./gen-dist-data the first time it is named.

    Raises:
        ValueError: there is no such dataset, or it is damaged.
    """
    if not is_embedded(name_or_uri):
        try:
            return open_dataset(name_or_uri)
        except DataError as error:
            if "/" in name_or_uri or Path(name_or_uri).exists():
                raise
            raise DataError(f"{error}, or take a built-in one: {', '.join(EMBEDDED)}") from error
    folder = EMBEDDED_FOLDER / name_or_uri
    if not (folder / MANIFEST).exists():
        console.print(f"importing {name_or_uri} into {folder}", highlight=False)
        source, options = EMBEDDED[name_or_uri]
        import_source(open_source(source, SourceOptions()), folder, options, recorded_options=options.changed())
    return open_dataset(folder)
