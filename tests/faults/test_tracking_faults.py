"""MLflow hangs, dies and comes back: training goes on, and every point arrives once."""

from pathlib import Path

import pytest
from mlflow_server import MLflowServer
from runs import PATIENCE_SECONDS, Script, assert_all_points_once, new_job, run, track, weights_of
from table import FaultsTable

pytestmark = pytest.mark.faults


def test_a_tracking_server_that_hangs_and_dies(
    digits: str, tmp_path: Path, undisturbed: str, mlflow: MLflowServer, spool: Path, table: FaultsTable
) -> None:
    job = new_job(digits, tmp_path / "runs", "mlflow-dies")
    tracker = track(job, spool, mlflow)
    happened: list[str] = []

    def first_points_arrive() -> None:
        assert tracker.deliver(PATIENCE_SECONDS).num_waiting == 0
        mlflow.pause()
        happened.append("hangs")

    def restart() -> None:
        mlflow.start()
        happened.append("is back")

    # Nothing but the run's own rounds ends these outages: a training that waited for MLflow would wait for ever.
    script = Script(
        at={
            30: first_points_arrive,
            90: lambda: (mlflow.resume(), happened.append("answers")),  # type: ignore[dict-item, return-value]
            110: lambda: (mlflow.pause(), happened.append("hangs")),  # type: ignore[dict-item, return-value]
            130: lambda: (mlflow.kill(), happened.append("is dead")),  # type: ignore[dict-item, return-value]
            180: restart,
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
        measured=f"60, 20 and 50 rounds trained meanwhile; all of {points} points in MLflow once; same weights",
    )
