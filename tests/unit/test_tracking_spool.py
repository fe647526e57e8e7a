import json
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gen_dist.tracking.journal import Journal, read
from gen_dist.tracking.spool import RunIdentity, Spool, SpoolBusyError, find_spools

WRITER = """
import sys
from pathlib import Path
from gen_dist.tracking.journal import Journal
journal = Journal(Path(sys.argv[1]))
step = 0
while True:
    journal.append({"kind": "metrics", "step": step, "time_ms": 0, "values": {"loss": 1.0, "text": 2.0}})
    print(step, flush=True)
    step += 1
"""


def test_a_killed_writer_leaves_whole_lines_and_all_it_logged(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    last = -1
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = int(line)
            if last == 200:
                process.send_signal(signal.SIGKILL)
    records = [record for record, _ in read(path, 0)]
    assert None not in records
    assert [record["step"] for record in records if record][: last + 1] == list(range(last + 1))


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"kind":"tags"}\n{"kind":"metr')
    assert [record for record, _ in read(path, 0)] == [{"kind": "tags"}]
    journal = Journal(path)
    journal.append({"kind": "status"})
    journal.close()
    assert [record for record, _ in read(path, 0)] == [{"kind": "tags"}, None, {"kind": "status"}]


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append({"a": 1})
    ((_, offset),) = read(path, 0)
    journal.append({"b": 2})
    assert [record for record, _ in read(path, offset)] == [{"b": 2}]


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)

    def write(name: str) -> None:
        for number in range(300):
            journal.append({"name": name * 50, "number": number})

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = [record for record, _ in read(path, 0)]
    assert len(records) == 900
    assert None not in records


def test_one_folder_belongs_to_one_run(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.claim(RunIdentity(name="a"), "uri")
    spool.claim(RunIdentity(name="a"), "other uri")
    assert spool.store_uri() == "other uri"
    with pytest.raises(ValueError, match=r"holds the history of run 'a'.*a folder of its own"):
        spool.claim(RunIdentity(name="b"), "uri")


@pytest.mark.parametrize("name", ["", "a'b", "x" * 201, "../up", "tab\t"])
def test_names_that_a_query_cannot_hold_are_refused(name: str) -> None:
    if name == "../up":
        assert RunIdentity(name=name).name == name  # the name is a tag, never a path
        return
    with pytest.raises(ValueError, match="the run's name is"):
        RunIdentity(name=name)


def test_only_one_delivers(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.claim(RunIdentity(name="a"), "uri")
    with spool.lock(), pytest.raises(SpoolBusyError, match="another process is delivering"), spool.lock():
        pass
    with spool.lock():
        pass


def test_a_copy_does_not_change_with_its_source(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.claim(RunIdentity(name="a"), "uri")
    source = tmp_path / "grid.png"
    source.write_bytes(b"before")
    record = spool.keep_artifact(source, "samples")
    source.write_bytes(b"after")
    assert (spool.artifact_folder / record["file"]).read_bytes() == b"before"
    assert (record["name"], record["folder"]) == ("grid.png", "samples")
    spool.sync_artifacts()


def test_the_backlog_counts_what_no_thread_has_seen(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.claim(RunIdentity(name="a"), "uri")
    journal = Journal(spool.journal_path)
    journal.append({"kind": "metrics", "step": 1, "time_ms": 0, "values": {"a": 1.0, "b": 2.0}})
    journal.append({"kind": "params", "values": {"a": "1", "b": "2", "c": "3"}})
    journal.append({"kind": "status", "status": "RUNNING", "time_ms": 0})
    journal.append(spool.keep_bytes(b"x", "x.txt"))
    backlog = spool.backlog("no route")
    assert (backlog.points, backlog.settings, backlog.artifacts) == (2, 4, 1)
    assert f"gen-dist deliver {tmp_path}" in str(backlog)
    assert "(no route)" in str(backlog)


def test_studies_are_found_before_their_trials(tmp_path: Path) -> None:
    for name, parent in (("a-trial", "study"), ("study", None)):
        spool = Spool(tmp_path / name / "tracking")
        spool.claim(RunIdentity(name=name, parent=parent), "uri")
        Journal(spool.journal_path).close()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text(json.dumps({"something": "else"}))
    assert [spool.identity().name for spool in find_spools(tmp_path)] == ["study", "a-trial"]


def test_what_a_full_disk_does_not_take_waits_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))  # a quota, as a stand-in for a disk; 8 bytes a record
    try:
        for number in range(10):
            journal.append({"n": number})
        journal.sync()
        size = (tmp_path / "journal.jsonl").stat().st_size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert size == 50
    assert len(caplog.messages) == 1
    assert "journal.jsonl" in caplog.text
    assert "free space on its disk" in caplog.text
    journal.append({"n": 10})
    journal.close()
    assert [record and record["n"] for record, _ in read(tmp_path / "journal.jsonl", 0)] == list(range(11))
