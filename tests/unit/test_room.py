"""What a person is told while a run waits for nodes. `tests/faults/test_cluster_faults.py` takes real ones away."""

import io

import pytest
from rich.console import Console

from gen_dist.cluster.room import RoomWatch
from gen_dist.cluster.session import Resources


def test_too_little_room_is_said_once_and_its_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    room = 4
    monkeypatch.setattr("gen_dist.cluster.room.how_many_fit", lambda worker: room)
    output = io.StringIO()
    watch = RoomWatch(2, Resources(), Console(file=output, width=200))

    def said() -> str:
        before = len(output.getvalue())
        watch.look()
        return output.getvalue()[before:]

    assert said() == ""
    room = 1
    assert said().startswith("the cluster has room for 1 of 2 workers: waiting for more nodes. Nothing is lost")
    assert said() == ""
    room = 2
    assert said() == "the cluster has room for 2 workers: no more waiting\n"
    assert said() == ""
