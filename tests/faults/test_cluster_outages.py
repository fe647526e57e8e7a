"""The services of a real cluster are away for a while: the run waits for nothing that it can do without."""

import random
import threading
import time

import pytest
from cluster_runs import Site
from faults_table import FaultsTable
from ray_cluster import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(2400)]
DATABASE_SECONDS = 8.0
MINUTE_SECONDS = 60.0


def pass_since(began: float, seconds: float) -> None:
    """Let the rest of an outage pass."""
    threading.Event().wait(max(0.0, began + seconds - time.monotonic()))


def test_a_database_that_hangs_and_restarts(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = site.train("database-away")
    site.wait_for_checkpoint("database-away", random.Random(51).randint(1, 3), submitted)
    before = site.newest_key("database-away")
    site.postgres.pause()
    try:
        began = time.monotonic()
        # Nothing but the time ends this outage: a training that waited for MLflow would write no checkpoint.
        wait_for(lambda: site.newest_key("database-away") > before, "a checkpoint while MLflow hangs")
        trained = (site.newest_key("database-away") - before) // 32
        pass_since(began, DATABASE_SECONDS)
        outage = time.monotonic() - began
    finally:
        site.postgres.resume()
    site.postgres.stop()
    site.postgres.start()
    assert submitted.wait() == 0, submitted.text
    points = site.assert_whole("database-away", peaceful)
    table.row(
        "PostgreSQL below MLflow hangs, answers, and is restarted",
        seen="“MLflow takes nothing at the moment; what is logged waits in …” if it lasts, then “MLflow answers again”",
        lost="nothing",
        measured=f"hung for {outage:.0f} s, {trained} rounds and more trained meanwhile; all {points} points in MLflow "
        "once; same weights",
    )


@pytest.mark.study
def test_a_minute_without_store_and_tracking(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = site.train("minute")
    site.wait_for_checkpoint("minute", random.Random(52).randint(1, 3), submitted)
    began = time.monotonic()
    site.s3.pause()
    site.mlflow.pause()
    try:
        pass_since(began, MINUTE_SECONDS)
    finally:
        site.s3.resume()
        site.mlflow.resume()
    assert submitted.wait() == 0, submitted.text
    points = site.assert_whole("minute", peaceful)
    table.row(
        "S3 and MLflow both hang for a minute",
        seen="training waits when two checkpoints wait, and goes on; exit code 0",
        lost="nothing",
        measured=f"{MINUTE_SECONDS:.0f} s; all {points} points in MLflow once; same weights",
    )
