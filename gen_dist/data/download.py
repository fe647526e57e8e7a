"""Fetching a published file over HTTPS and proving that it is the published one."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gen_dist.data.errors import DataError, StorageError
from gen_dist.data.progress import track
from gen_dist.data.sources.source import Readable
from gen_dist.data.storage_local import replacing

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Download:
    """A file as it was published."""

    name: str
    size_bytes: int
    sha256: str

    @property
    def num_chunks(self) -> int:
        """Pieces in which it comes, for the progress bar."""
        return -(-self.size_bytes // CHUNK_BYTES)


def download(base_url: str, file: Download, folder: Path) -> Path:
    """Fetch `base_url/name` into a folder, unless the right file is there already.

    Raises:
        StorageError: the address can't be reached.
        DataError: what came is not the published file; nothing is kept.
    """
    path = folder / file.name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256:
        return path
    url = f"{base_url}/{file.name}"
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError(f"{url} is not an https address")
    digest = hashlib.sha256()
    try:
        # The scheme was checked above.
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, replacing(path) as target:  # noqa: S310
            for chunk in track(_chunks(answer, file.size_bytes), f"Downloading {file.name}", file.num_chunks):
                digest.update(chunk)
                target.write(chunk)
            if digest.hexdigest() != file.sha256:
                raise DataError(
                    f"{url} is not the published file (SHA-256 {digest.hexdigest()[:12]}... instead of "
                    f"{file.sha256[:12]}...): fetch it yourself and name its folder with --path"
                )
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise StorageError(f"{url}: {error}: fetch it yourself and name its folder with --path") from error
    return path


def _chunks(answer: Readable, size_bytes: int) -> Iterator[bytes]:
    """The body; no more than one chunk beyond the published size, which is enough to see that it is wrong."""
    received = 0
    while received <= size_bytes and (chunk := answer.read(CHUNK_BYTES)):
        received += len(chunk)
        yield chunk
