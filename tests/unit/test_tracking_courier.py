import math
import random
from contextlib import closing
from pathlib import Path

import pytest
from tracking_fakes import Crash, FakeRun, FakeStore

from gen_dist.tracking.courier import Courier, UnavailableError
from gen_dist.tracking.journal import Journal
from gen_dist.tracking.ledger import Ledger
from gen_dist.tracking.spool import RunIdentity, Spool

IDENTITY = RunIdentity(name="trial-1")


def make_spool(folder: Path, identity: RunIdentity = IDENTITY) -> tuple[Spool, Journal]:
    spool = Spool(folder)
    spool.claim(identity, "http://127.0.0.1")
    return spool, Journal(spool.journal_path)


def log_points(journal: Journal, steps: range, keys: tuple[str, ...] = ("loss", "score"), value: float = 0.0) -> None:
    for step in steps:
        values = dict.fromkeys(keys, value + step)
        journal.append({"kind": "metrics", "step": step, "time_ms": 1000 + step, "values": values})


def deliver(spool: Spool, store: FakeStore) -> None:
    """One attempt of a fresh process."""
    with closing(Ledger(spool.ledger_path)) as ledger:
        Courier(spool, ledger, store).deliver()


def deliver_until_done(spool: Spool, store: FakeStore) -> int:
    """Attempts of processes that die and are started again, until one succeeds; returns how many it took."""
    for attempt in range(1, 200):
        try:
            deliver(spool, store)
        except (UnavailableError, Crash):
            continue
        return attempt
    raise AssertionError("never delivered")


def only_run(store: FakeStore) -> FakeRun:
    (run,) = [run for run in store.runs.values() if run.state == "active"]
    return run


@pytest.mark.parametrize("seed", range(20))
def test_every_point_arrives_exactly_once_whatever_fails(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    store = FakeStore()
    kinds = ("lost request", "lost answer", "crash before", "crash after")
    store.faults = {call: generator.choice(kinds) for call in range(60) if generator.random() < 0.6}
    spool, journal = make_spool(tmp_path)
    journal.append({"kind": "status", "status": "RUNNING", "time_ms": 5})
    journal.append({"kind": "params", "values": {"model.latent_dim": "64"}})
    log_points(journal, range(700))
    deliver_until_done(spool, store)
    log_points(journal, range(500, 1300), value=0.5)  # a resume from step 500 replays 200 steps
    journal.append(spool.keep_bytes(b"grid", "samples/1.png"))
    journal.append({"kind": "status", "status": "FINISHED", "time_ms": 9})
    deliver_until_done(spool, store)
    run = only_run(store)
    assert set(run.counts()) == {(key, step) for key in ("loss", "score") for step in range(1300)}
    assert set(run.counts().values()) == {1}
    assert {value for key, step, value in run.points if step == 600} == {600.0}  # the first value stays
    assert run.params == {"model.latent_dim": "64"}
    assert run.files == {"samples/1.png": b"grid"}
    assert run.statuses[-1] == ("FINISHED", 9)
    assert run.started_ms == 5
    assert spool.backlog().num_waiting == 0
    assert list(spool.artifact_folder.iterdir()) == []


def test_a_fault_free_delivery_asks_for_no_history(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    log_points(journal, range(1250))
    store = FakeStore()
    deliver(spool, store)
    assert store.calls.count("history") == 0
    assert store.calls.count("send_points") == 3  # 2500 points, at most 1000 at a time


def test_a_lost_answer_is_resolved_by_asking(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    log_points(journal, range(10))
    store = FakeStore()
    store.faults = {2: "lost answer"}  # find_runs, create_run, send_points
    with pytest.raises(UnavailableError):
        deliver(spool, store)
    assert spool.backlog().points == 20
    deliver(spool, store)
    assert set(only_run(store).counts().values()) == {1}
    assert store.calls.count("send_points") == 1


def test_a_run_resumed_without_its_spool_is_found_and_adds_no_second_point(tmp_path: Path) -> None:
    store = FakeStore()
    spool, journal = make_spool(tmp_path / "first node")
    journal.append({"kind": "params", "values": {"seed": "0"}})
    log_points(journal, range(20))
    deliver(spool, store)
    spool, journal = make_spool(tmp_path / "second node")
    journal.append({"kind": "params", "values": {"seed": "1", "workers": "2"}})
    log_points(journal, range(15, 30))
    deliver(spool, store)
    log_points(journal, range(18, 40), keys=("loss", "score", "late"))
    deliver(spool, store)
    run = only_run(store)
    assert set(run.counts().values()) == {1}
    assert {step for key, step in run.counts() if key == "loss"} == set(range(40))
    assert run.params == {"seed": "0", "workers": "2"}
    assert spool.backlog().refused == ()


def test_an_erased_run_is_delivered_again(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    log_points(journal, range(5))
    journal.append({"kind": "tags", "values": {"a": "b"}})
    deliver(spool, FakeStore())
    other = FakeStore()
    deliver(spool, other)
    assert len(only_run(other).points) == 10
    assert only_run(other).tags == {"a": "b"}


def test_a_deleted_run_waits_to_be_restored(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    store = FakeStore()
    deliver(spool, store)
    only_run(store).state = "deleted"
    log_points(journal, range(5))
    with pytest.raises(UnavailableError, match="mlflow runs restore --run-id run-0"):
        deliver(spool, store)
    assert spool.backlog().points == 10
    store.runs["run-0"].state = "active"
    deliver(spool, store)
    assert len(store.runs["run-0"].points) == 10


def test_a_run_deleted_between_two_batches_loses_nothing(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    store = FakeStore()
    with closing(Ledger(spool.ledger_path)) as ledger:
        courier = Courier(spool, ledger, store)
        courier.deliver()
        store.runs["run-0"].state = "deleted"
        log_points(journal, range(5))
        journal.append({"kind": "params", "values": {"a": "1"}})
        with pytest.raises(UnavailableError):
            courier.deliver()
        assert spool.backlog().refused == ()
        store.runs["run-0"].state = "active"
        courier.deliver()
    assert len(store.runs["run-0"].points) == 10


def test_what_mlflow_refuses_is_named_and_holds_nothing_else_up(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    store = FakeStore()
    store.refused_metrics = {"bad"}
    log_points(journal, range(12), keys=("good", "bad", "fine"))
    deliver(spool, store)
    counts = only_run(store).counts()
    assert set(counts.values()) == {1}
    assert len(counts) == 24
    refused = spool.backlog().refused
    assert len(refused) == 12
    assert "metric bad at step 7: bad metric name bad" in refused
    assert "MLflow refused: metric bad at step 7" in str(spool.backlog())


def test_a_changed_parameter_is_refused_alone(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    store = FakeStore()
    deliver(spool, store)
    store.runs["run-0"].params = {"b": "old"}
    journal.append({"kind": "params", "values": {"a": "1", "b": "new", "c": "3"}})
    deliver(spool, store)
    assert store.runs["run-0"].params == {"a": "1", "b": "old", "c": "3"}
    assert spool.backlog().refused == ("param b: changing b is not allowed",)


@pytest.mark.parametrize("twin_has_data", [False, True])
def test_a_late_twin_is_removed_only_if_it_is_empty(tmp_path: Path, twin_has_data: bool) -> None:
    spool, journal = make_spool(tmp_path)
    store = FakeStore()
    deliver(spool, store)
    twin = store.create_run(IDENTITY, None, 0)  # a stalled server carries a request out after its client gave up
    if twin_has_data:
        store.runs[twin].points.append(("loss", 1, 1.0))
    log_points(journal, range(3))
    journal.append({"kind": "status", "status": "FINISHED", "time_ms": 9})
    deliver(spool, store)
    assert store.runs["run-0"].state == "active"
    assert len(store.runs["run-0"].points) == 6
    assert store.runs[twin].state == ("active" if twin_has_data else "deleted")


def test_a_child_waits_for_its_parent(tmp_path: Path) -> None:
    store = FakeStore()
    child, _ = make_spool(tmp_path / "child", RunIdentity(name="child", parent="study"))
    study, _ = make_spool(tmp_path / "study", RunIdentity(name="study"))
    with pytest.raises(UnavailableError, match="parent run 'study' is not in MLflow yet"):
        deliver(child, store)
    deliver(study, store)
    deliver(child, store)
    assert [run.parent_id for run in store.runs.values()] == [None, "run-0"]


def test_non_finite_values_arrive_as_they_are(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    values = {"nan": math.nan, "inf": math.inf, "minus": -math.inf}
    journal.append({"kind": "metrics", "step": 3, "time_ms": 1, "values": values})
    store = FakeStore()
    deliver(spool, store)
    arrived = {key: value for key, _, value in only_run(store).points}
    assert math.isnan(arrived["nan"])
    assert (arrived["inf"], arrived["minus"]) == (math.inf, -math.inf)


def test_the_last_tag_and_the_first_parameter_stay(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    store = FakeStore()
    for value in ("one", "two"):
        journal.append({"kind": "tags", "values": {"tag": value}})
        journal.append({"kind": "params", "values": {"param": value}})
        deliver(spool, store)
    assert only_run(store).tags == {"tag": "two"}
    assert only_run(store).params == {"param": "one"}


def test_a_missing_copy_is_refused_and_named(tmp_path: Path) -> None:
    spool, journal = make_spool(tmp_path)
    record = spool.keep_bytes(b"x", "samples/1.png")
    (spool.artifact_folder / record["file"]).unlink()
    journal.append(record)
    deliver(spool, FakeStore())
    (refusal,) = spool.backlog().refused
    assert refusal.startswith("artifact 1.png: its copy")
