"""Storage on the local disk: keys, whole files only, and errors that say what is wrong."""

import errno
import hashlib
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gen_dist.data.storage import Storage, StorageError, open_storage
from gen_dist.data.storage_local import replacing


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(tmp_path / "root")


def test_bytes_round_trip(storage: Storage) -> None:
    storage.write_bytes("a/b", b"one")
    storage.write_bytes("a/b", b"two")
    assert storage.read_bytes("a/b") == b"two"
    assert storage.exists("a/b")
    assert not storage.exists("a")
    with pytest.raises(FileNotFoundError, match="missing"):
        storage.read_bytes("missing")


def test_files_round_trip(storage: Storage, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "in").write_bytes(content)
    storage.upload(tmp_path / "in", "x/file")
    assert storage.sha256("x/file") == hashlib.sha256(content).hexdigest()
    storage.download("x/file", tmp_path / "new" / "out")
    assert (tmp_path / "new" / "out").read_bytes() == content


def test_list_and_delete_keep_to_folders(storage: Storage) -> None:
    for key in ("runs/1/a", "runs/1/b/c", "runs/10/a", "top"):
        storage.write_bytes(key, b"x")
    assert storage.list() == ["runs/1/a", "runs/1/b/c", "runs/10/a", "top"]
    assert storage.list("runs/1") == ["runs/1/a", "runs/1/b/c"]
    assert storage.child("runs").list("1") == ["1/a", "1/b/c"]
    storage.delete("runs/1")
    assert storage.list() == ["runs/10/a", "top"]
    storage.delete("top")
    storage.delete("top")
    storage.delete("")
    assert storage.list() == []


def test_open_input_reads_anywhere(storage: Storage) -> None:
    storage.write_bytes("file", b"0123456789")
    with storage.open_input("file") as file:
        assert file.size() == 10
        file.seek(3)
        assert file.read(4) == b"3456"
    with pytest.raises(FileNotFoundError):
        storage.open_input("missing")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", ".", "a\\b", "a\0b"])
def test_keys_that_lead_elsewhere_are_refused(storage: Storage, key: str) -> None:
    with pytest.raises(StorageError, match="is not a key below"):
        storage.write_bytes(key, b"x")
    with pytest.raises(StorageError, match="is not a key below"):
        storage.child(key)


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("ftp://host/path", "unknown scheme 'ftp'"),
        ("s3:///prefix", "names no bucket"),
        ("file://otherhost/path", "another machine"),
        ("s3://bucket/a/../b", "is not a key"),
    ],
)
def test_uris_that_mean_nothing_are_refused(uri: str, cause: str) -> None:
    with pytest.raises(StorageError, match=cause):
        open_storage(uri)


def test_a_path_a_string_and_a_file_uri_are_the_same_place(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    open_storage(folder).write_bytes("key", b"x")
    for uri in (str(folder), folder.as_uri()):
        assert open_storage(uri).read_bytes("key") == b"x"
        assert open_storage(uri).uri == str(folder)


def test_a_relative_path_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage("here")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    storage.write_bytes("key", b"x")
    assert (tmp_path / "here" / "key").read_bytes() == b"x"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write_bytes("file", b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StorageError, match=r"root/file: No space left on device"):
        storage.write_bytes("file", b"new")
    assert storage.read_bytes("file") == b"old"
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["file"]


def test_what_a_killed_process_left_is_not_listed(storage: Storage, tmp_path: Path) -> None:
    with replacing(tmp_path / "root" / "file") as file:
        file.write(b"half")
        assert len(list((tmp_path / "root").iterdir())) == 1
        assert storage.list() == []
    assert storage.list() == ["file"]


def test_a_file_in_the_way_is_named(storage: Storage) -> None:
    storage.write_bytes("a", b"x")
    with pytest.raises(StorageError, match="root/a/b"):
        storage.write_bytes("a/b", b"x")


def test_a_folder_that_is_removed_while_it_is_listed_is_left_out(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run removes a checkpoint that it no longer keeps."""
    storage.write_bytes("checkpoints/1/weights", b"old")
    storage.write_bytes("checkpoints/2/weights", b"new")
    old, scandir = tmp_path / "root" / "checkpoints" / "1", os.scandir

    def scandir_late(folder: str | int) -> object:
        if folder == str(old):
            monkeypatch.undo()
            shutil.rmtree(old)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scandir_late)
    assert storage.list("checkpoints") == ["checkpoints/2/weights"]


def test_of_several_who_create_a_file_at_once_one_succeeds(storage: Storage) -> None:
    start = threading.Barrier(4)

    def create(content: bytes) -> bytes | None:
        start.wait()
        try:
            storage.create("runs/a/run.json", content)
        except FileExistsError:
            return None
        return content

    with ThreadPoolExecutor(4) as racers:
        answers = list(racers.map(create, (b"0", b"1", b"2", b"3")))
    (winner,) = (answer for answer in answers if answer is not None)
    assert storage.read_bytes("runs/a/run.json") == winner
    assert storage.list() == ["runs/a/run.json"]
