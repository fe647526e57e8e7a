"""Downloads: what comes is the published file or nothing. The server is on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gen_dist.data.download import Download, download
from gen_dist.data.errors import DataError, StorageError

CONTENT = bytes(range(256)) * 3000


class Published(BaseHTTPRequestHandler):
    """Serves CONTENT as /file, ten times CONTENT as /long, and half an answer as /broken."""

    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        answers = {"/file": (CONTENT, 0), "/long": (CONTENT * 10, 0), "/broken": (CONTENT[:1000], 5000)}
        if self.path not in answers:
            self.send_error(404)
            return
        content, missing = answers[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + missing))
        self.end_headers()
        try:
            self.wfile.write(content)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def published_at() -> Iterator[str]:
    Published.requests = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Published) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def expected(name: str) -> Download:
    return Download(name, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def test_the_published_file_is_fetched_once(published_at: str, tmp_path: Path) -> None:
    path = download(published_at, expected("file"), tmp_path / "cache")
    assert path.read_bytes() == CONTENT
    assert download(published_at, expected("file"), tmp_path / "cache") == path
    assert Published.requests == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(published_at: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"half")
    assert download(published_at, expected("file"), tmp_path).read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(published_at: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/long is not the published file \(SHA-256"):
        download(published_at, expected("long"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing", "broken"])
def test_a_failing_server_is_named_and_nothing_kept(published_at: str, tmp_path: Path, name: str) -> None:
    with pytest.raises((StorageError, DataError), match=f"{published_at}/{name}"):
        download(published_at, expected(name), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_https_leaves_the_machine(tmp_path: Path) -> None:
    for url in ("http://example.org", "file:///etc", "ftp://example.org"):
        with pytest.raises(ValueError, match="is not an https address"):
            download(url, expected("file"), tmp_path)
