"""Storage on S3: the same promises as on disk, and errors that say what is wrong."""

import hashlib
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
import torch

from gen_dist.data.dataset import open_dataset
from gen_dist.data.errors import DataError
from gen_dist.data.importing import ImportOptions, import_source
from gen_dist.data.publish import publishing
from gen_dist.data.schema import MANIFEST
from gen_dist.data.sources.digits import DigitsSource
from gen_dist.data.storage import Storage, StorageError, open_storage


@pytest.fixture
def storage(s3_bucket: str) -> Storage:
    return open_storage(f"s3://{s3_bucket}/some/prefix")


def test_bytes_round_trip(storage: Storage) -> None:
    storage.write_bytes("a/b", b"one")
    storage.write_bytes("a/b", b"two")
    assert storage.read_bytes("a/b") == b"two"
    assert storage.exists("a/b")
    assert not storage.exists("a")
    with pytest.raises(FileNotFoundError, match="some/prefix/missing"):
        storage.read_bytes("missing")


def test_a_file_is_created_once(storage: Storage) -> None:
    storage.create("run.json", b"first")
    with pytest.raises(FileExistsError, match=r"some/prefix/run\.json exists"):
        storage.create("run.json", b"second")
    assert storage.read_bytes("run.json") == b"first"


def test_files_round_trip(storage: Storage, tmp_path: Path) -> None:
    content = os.urandom(9 << 20)  # above boto3's threshold for uploads in parts
    (tmp_path / "in").write_bytes(content)
    storage.upload(tmp_path / "in", "file")
    assert storage.sha256("file") == hashlib.sha256(content).hexdigest()
    storage.download("file", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


def test_download_of_nothing_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.download("missing", tmp_path / "folder" / "out")
    assert list((tmp_path / "folder").iterdir()) == []


def test_list_and_delete_keep_to_folders(storage: Storage) -> None:
    for key in ("runs/1/a", "runs/1/b/c", "runs/10/a", "top"):
        storage.write_bytes(key, b"x")
    assert storage.list() == ["runs/1/a", "runs/1/b/c", "runs/10/a", "top"]
    assert storage.list("runs/1") == ["runs/1/a", "runs/1/b/c"]
    storage.delete("runs/1")
    assert storage.list() == ["runs/10/a", "top"]
    storage.delete("top")
    storage.delete("top")
    storage.delete("")
    assert storage.list() == []


def test_delete_of_one_folder_leaves_the_rest_of_the_bucket(s3_bucket: str) -> None:
    root = open_storage(f"s3://{s3_bucket}")
    root.write_bytes("other", b"x")
    child = root.child("some")
    child.write_bytes("file", b"x")
    child.delete("")
    assert root.list() == ["other"]


def test_list_and_delete_follow_pages(storage: Storage) -> None:
    for index in range(12):
        storage.write_bytes(f"many/{index:04d}", b"")
    client = boto3.session.Session().client("s3")
    page = client.list_objects_v2(Bucket=storage.uri.split("/")[2], Prefix="some/prefix/many/")
    client.close()
    assert page["IsTruncated"], "the server must answer in pages for this test to mean anything"
    assert len(storage.list("many")) == 12
    storage.delete("many")
    assert storage.list() == []


def test_open_input_reads_ranges(storage: Storage) -> None:
    content = bytes(range(256)) * 100
    storage.write_bytes("file", content)
    with storage.open_input("file") as file:
        assert file.size() == len(content)
        file.seek(1000)
        assert file.read(300) == content[1000:1300]
        file.seek(len(content) - 5)
        assert file.read(100) == content[-5:]
    with pytest.raises(FileNotFoundError):
        storage.open_input("missing")


def test_open_input_notices_that_the_object_was_replaced(storage: Storage) -> None:
    storage.write_bytes("file", b"old " * 100)
    with storage.open_input("file") as file:
        storage.write_bytes("file", b"new " * 100)
        with pytest.raises(StorageError, match="replaced while it was being read"):
            file.read(10)


@pytest.mark.parametrize("operation", ["read", "write", "exists", "list", "upload"])
def test_missing_bucket_is_named(s3_endpoint: str, tmp_path: Path, operation: str) -> None:
    storage = open_storage("s3://no-such-bucket-here/prefix")
    (tmp_path / "file").write_bytes(b"x")
    operations = {
        "read": lambda: storage.read_bytes("key"),
        "write": lambda: storage.write_bytes("key", b"x"),
        "exists": lambda: storage.exists("key"),
        "list": lambda: storage.list(),
        "upload": lambda: storage.upload(tmp_path / "file", "key"),
    }
    with pytest.raises(StorageError, match=r"s3://no-such-bucket-here.*no such bucket"):
        operations[operation]()


def test_missing_credentials(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match="no credentials: set AWS_ACCESS_KEY_ID"):
        open_storage("s3://bucket/prefix").read_bytes("key")


@pytest.fixture
def checked_credentials(s3_endpoint: str) -> Iterator[None]:
    """The server looks at credentials from the next request on."""

    def reset(count: bytes) -> None:
        request = urllib.request.Request(f"{s3_endpoint}/moto-api/reset-auth", data=count, method="POST")
        request.add_header("Content-Type", "text/plain")
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200

    reset(b"0")
    yield
    reset(b"inf")


def test_denied_credentials_are_named_and_not_shown(s3_bucket: str, checked_credentials: None) -> None:
    with pytest.raises(StorageError, match=r"AWS_ACCESS_KEY_ID|denied") as caught:
        open_storage(f"s3://{s3_bucket}/prefix").read_bytes("key")
    assert "test-secret" not in str(caught.value)


def test_import_with_denied_credentials_fails_before_the_work(s3_bucket: str, checked_credentials: None) -> None:
    with pytest.raises(StorageError, match=s3_bucket):
        import_source(DigitsSource(), f"s3://{s3_bucket}/digits", ImportOptions())


def test_unreachable_endpoint(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(StorageError, match="check AWS_ENDPOINT_URL and the network"):
            open_storage("s3://bucket/prefix").read_bytes("key")


def test_endpoint_that_is_no_address(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises(StorageError, match="check AWS_ENDPOINT_URL"):
        open_storage("s3://bucket/prefix").read_bytes("key")


def test_bucket_name_that_is_not_valid(s3_endpoint: str) -> None:
    with pytest.raises(StorageError, match="s3://not_a%bucket"):
        open_storage("s3://not_a%bucket/prefix").read_bytes("key")


def test_dataset_is_the_same_as_on_disk(s3_bucket: str, tmp_path: Path) -> None:
    options = ImportOptions(max_group_rows=100)
    local = import_source(DigitsSource(), tmp_path / "digits", options).dataset
    remote = import_source(DigitsSource(), f"s3://{s3_bucket}/data/digits", options).dataset
    assert remote.digest == local.digest
    assert torch.equal(remote.read("test").images, local.read("test").images)
    in_memory = local.stream("train", seed=3)
    windowed = open_dataset(f"s3://{s3_bucket}/data/digits").stream("train", seed=3, memory_budget_bytes=100_000)
    assert (in_memory.in_memory, windowed.in_memory) == (True, False)
    for start, count in ((0, 64), (1200, 200), (5000, 64)):
        expected, found = in_memory.take(start, count), windowed.take(start, count)
        assert torch.equal(expected.images, found.images)
        assert expected.labels is not None
        assert found.labels is not None
        assert torch.equal(expected.labels, found.labels)
    in_memory.close()
    windowed.close()


def test_damaged_shard_on_s3_is_named(s3_bucket: str) -> None:
    dataset = import_source(DigitsSource(), f"s3://{s3_bucket}/digits", ImportOptions()).dataset
    shard = dataset.manifest.splits["train"].shards[0].path
    storage = open_storage(dataset.uri)
    data = bytearray(storage.read_bytes(shard))
    data[100] ^= 1
    storage.write_bytes(shard, bytes(data))
    with pytest.raises(DataError, match=shard):
        dataset.read("train")


def publish_without_manifest(destination: Storage) -> None:
    """Publish a shard and then fail: the upload of the manifest, which comes last, finds no file."""
    with publishing(destination, overwrite=True) as folder:
        (folder / "train").mkdir()
        (folder / "train" / "00000-000000000000.parquet").write_bytes(b"x")


def test_failed_upload_leaves_nothing(s3_bucket: str) -> None:
    destination = open_storage(f"s3://{s3_bucket}/digits")
    with pytest.raises(FileNotFoundError):
        publish_without_manifest(destination)
    assert destination.list() == []


def test_failed_overwriting_leaves_the_old_dataset(s3_bucket: str) -> None:
    uri = f"s3://{s3_bucket}/digits"
    import_source(DigitsSource(), uri, ImportOptions())
    before = open_storage(uri).list()
    with pytest.raises(FileNotFoundError):
        publish_without_manifest(open_storage(uri))
    assert open_storage(uri).list() == before
    assert open_dataset(uri).num_images("train") == 1280


def test_overwriting_replaces_the_dataset_and_removes_its_shards(s3_bucket: str) -> None:
    uri = f"s3://{s3_bucket}/digits"
    before = import_source(DigitsSource(), uri, ImportOptions()).dataset
    open_storage(uri).write_bytes("notes.txt", b"mine")
    with pytest.raises(DataError, match=r"holds a dataset already.*--overwrite"):
        import_source(DigitsSource(), uri, ImportOptions())
    after = import_source(DigitsSource(), uri, ImportOptions(limit=500, overwrite=True)).dataset
    assert after.digest != before.digest
    named = {shard.path for split in after.manifest.splits.values() for shard in split.shards}
    assert set(open_storage(uri).list()) == named | {MANIFEST, "notes.txt"}


class BreakingServer(BaseHTTPRequestHandler):
    """Answers every request with ten bytes, but breaks off half-way the first `broken` times."""

    broken = 0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        type(self).broken -= 1
        self.wfile.write(b"01234" if self.broken >= 0 else b"0123456789")

    def log_request(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def breaking_storage(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BreakingServer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield open_storage("s3://bucket")
        server.shutdown()
        thread.join()


def test_answer_that_breaks_off_is_asked_for_again(breaking_storage: Storage) -> None:
    BreakingServer.broken = 2
    assert breaking_storage.read_bytes("key") == b"0123456789"


def test_answers_that_always_break_off_are_an_error(breaking_storage: Storage) -> None:
    BreakingServer.broken = 1000
    with pytest.raises(StorageError, match=r"s3://bucket/key: the answer broke off 3 times"):
        breaking_storage.read_bytes("key")
