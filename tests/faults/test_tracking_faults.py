"""MLflow hangs, dies and comes back: training goes on, and every point arrives once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from faulted_runs import PATIENCE_SECONDS, Script, assert_all_points_once, new_job, run, track, weights_of
from faults_table import FaultsTable
from mlflow_server import MLflowServer

pytestmark = pytest.mark.faults


def test_a_tracking_server_that_hangs_and_dies(
    digits: str, tmp_path: Path, undisturbed: str, mlflow: MLflowServer, spool: Path, table: FaultsTable
) -> None:
    job = new_job(digits, tmp_path / "runs", "mlflow-dies")
    tracker = track(job, spool, mlflow)
    happened: list[str] = []

    def first_points_arrive() -> None:
        assert tracker.deliver(PATIENCE_SECONDS).num_waiting == 0
        do(mlflow.pause, "hangs")

    def do(act: Callable[[], None], what: str) -> None:
        act()
        happened.append(what)

    # Nothing but the run's own rounds ends these outages: a training that waited for MLflow would wait for ever.
    script = Script(
        at={
            30: first_points_arrive,
            90: partial(do, mlflow.resume, "answers"),
            110: partial(do, mlflow.pause, "hangs"),
            130: partial(do, mlflow.kill, "is dead"),
            180: partial(do, mlflow.start, "is back"),
        }
    )
    told = run(job, script, tracker)
    assert happened == ["hangs", "answers", "hangs", "is dead", "is back"]
    assert told.result.finished
    assert weights_of(job) == undisturbed
    points = assert_all_points_once(job, spool, mlflow)
    table.row(
        "MLflow hangs, answers, hangs, is killed and started again",
        seen="“MLflow takes nothing at the moment; what is logged waits in …”, then “MLflow answers again”",
        lost="nothing",
        measured=f"60, 20 and 50 rounds trained meanwhile; all {points} points in MLflow once; same weights",
    )
