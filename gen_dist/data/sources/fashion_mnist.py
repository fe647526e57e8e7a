"""Fashion-MNIST: 70,000 grey pictures of clothes, 28 x 28.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
2017, arXiv:1708.07747.
"""

import os
from pathlib import Path

from gen_dist.data.download import Download, download
from gen_dist.data.errors import DataError
from gen_dist.data.sources.idx import IdxSource, find_idx_files

CLASS_NAMES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
PUBLISHED_AT = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
PUBLISHED_FILES = (
    Download(
        "train-images-idx3-ubyte.gz", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    Download("train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    Download(
        "t10k-images-idx3-ubyte.gz", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
    ),
    Download("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)


def fashion_mnist(folder: Path | None, *, may_download: bool) -> IdxSource:
    """Open the set from a given folder, else from Debian's package, else by download into the user's cache.

    Args:
        folder: with the four files under their published names.
        may_download: whether the network may be used.
    """
    if folder is None:
        folder = DEBIAN_FOLDER if DEBIAN_FOLDER.is_dir() else None
    if folder is None:
        if not may_download:
            raise DataError(
                "Fashion-MNIST is not on this machine: name its folder with --path, install Debian's package "
                "dataset-fashion-mnist, or add --download"
            )
        folder = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gen_dist" / "fashion-mnist"
        for file in PUBLISHED_FILES:
            download(PUBLISHED_AT, file, folder)
    return IdxSource("fashion-mnist", find_idx_files(folder), CLASS_NAMES)
