"""SIGKILL and notices on a real cluster of three nodes: the run ends with the weights it would have had."""

import random
import time

import pytest
from cluster_runs import BATCH, ROUNDS_PER_CHECKPOINT, Site, Submitted
from faults_table import FaultsTable
from ray_cluster import DRAIN_SECONDS, title, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(2400)]
INTERVAL = f"what was trained since the last checkpoint (here at most {ROUNDS_PER_CHECKPOINT} rounds), trained again"


def started(site: Site, name: str, seed: int, *, workers: str = "2") -> Submitted:
    """The run, at a random moment of its first half."""
    dice = random.Random(seed)
    submitted = site.train(name, workers=workers)
    site.wait_for_checkpoint(name, dice.randint(1, 4), submitted)
    time.sleep(dice.random())
    return submitted


def recovered(site: Site, name: str, submitted: Submitted, kept: int) -> float:
    """Wait until it trains again; it lost nothing that was in a checkpoint. Returns the seconds that this took."""
    seconds = wait_for(
        lambda: site.goes_on(submitted) is not None or bool(submitted.process.poll()), f"{name} to go on"
    )
    came_from = site.goes_on(submitted)
    assert came_from is not None, submitted.text
    assert came_from >= kept
    return seconds


def test_a_killed_worker(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = started(site, "worker-killed", seed=11)
    workers = site.cluster.processes("RayTrainWorker")
    assert len(workers) == 2
    kept = site.newest_key("worker-killed")
    random.Random(12).choice(workers).kill()
    seconds = recovered(site, "worker-killed", submitted, kept)
    assert submitted.wait() == 0, submitted.text
    points = site.assert_whole("worker-killed", peaceful)
    table.row(
        "SIGKILL of one of two workers on a cluster",
        seen="Ray's “worker died”, then “… goes on from image …”; exit code 0",
        lost=INTERVAL,
        measured=f"trains again after {seconds:.0f} s; all {points} points in MLflow once; same weights",
    )


def test_a_killed_raylet(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = started(site, "node-lost", seed=21)
    kept = site.newest_key("node-lost")
    lost = random.Random(22).choice(site.cluster.workers)
    lost.raylet().kill()
    noticed = wait_for(
        lambda: "has room for 1 of 2 workers: waiting for more nodes" in submitted.text, "word of the loss"
    )
    site.cluster.replace(lost)
    seconds = recovered(site, "node-lost", submitted, kept)
    assert submitted.wait() == 0, submitted.text
    points = site.assert_whole("node-lost", peaceful)
    table.row(
        "SIGKILL of a raylet: a node of the cluster is lost",
        seen="“the cluster has room for 1 of 2 workers: waiting for more nodes”, and when there is one “… goes on from "
        "image …”; exit code 0",
        lost=INTERVAL,
        measured=f"said after {noticed:.0f} s; trains again {seconds:.0f} s after another node has joined; "
        f"all {points} points in MLflow once; same weights",
    )


def test_an_elastic_run_goes_on_with_the_nodes_that_are_left(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = started(site, "node-lost-elastic", seed=51, workers="1:2")
    assert len(site.cluster.processes("RayTrainWorker")) == 2
    kept = site.newest_key("node-lost-elastic")
    lost = random.Random(52).choice(site.cluster.workers)
    lost.raylet().kill()
    seconds = recovered(site, "node-lost-elastic", submitted, kept)
    assert submitted.wait() == 0, submitted.text
    site.cluster.replace(lost)
    points = site.assert_whole("node-lost-elastic", peaceful)
    table.row(
        "SIGKILL of a raylet, and the run may have `--workers 1:2`",
        seen="“… goes on from image …”, with one worker; exit code 0",
        lost=INTERVAL,
        measured=f"trains again after {seconds:.0f} s; all {points} points in MLflow once; same weights, since two "
        "micro-batches make the same sum on one worker as on two",
    )


def test_a_killed_driver(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = started(site, "driver-killed", seed=31)
    kept = site.newest_key("driver-killed")
    for process in site.cluster.head.processes("jobs/train.py"):
        if title(process).startswith("python"):
            process.kill()
    assert submitted.wait() == 1
    assert not submitted.text.endswith("succeeded")
    wait_for(lambda: not site.living(), "the end of the workers")
    resumed = site.resume("driver-killed")
    seconds = recovered(site, "driver-killed", resumed, kept)
    assert resumed.wait() == 0, resumed.text
    points = site.assert_whole("driver-killed", peaceful)
    table.row(
        "SIGKILL of the driver of a job",
        seen="the job is FAILED, exit code 1. Its workers end too; nothing goes on by itself: submit it with "
        "`--resume`",
        lost=INTERVAL,
        measured=f"trains again {seconds:.0f} s after it was submitted again; all {points} points in MLflow once; same "
        "weights",
    )


def test_a_preemption_notice(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = started(site, "preempted", seed=41)
    kept = site.newest_key("preempted")
    lost = random.Random(42).choice(site.cluster.workers)
    lost.kept.terminate()  # what Kubernetes sends to a pod whose node goes
    off_schedule = ROUNDS_PER_CHECKPOINT * BATCH
    written = wait_for(lambda: site.newest_key("preempted") % off_schedule != 0, "a checkpoint by notice")
    just_in_time = site.newest_key("preempted")
    assert lost.processes("raylet"), "the node was gone before the checkpoint was there"
    site.cluster.replace(lost)  # it loses its power, before its time is over
    seconds = recovered(site, "preempted", submitted, max(kept, just_in_time))
    assert submitted.wait() == 0, submitted.text
    points = site.assert_whole("preempted", peaceful)
    table.row(
        f"a preemption notice: SIGTERM to `ray start` on a node, {DRAIN_SECONDS} s before it goes; it goes earlier",
        seen="a checkpoint at once; then as when a node is lost. A run that ends within the time ends well",
        lost="what was trained between that checkpoint and the end of the node, trained again",
        measured=f"checkpoint {written:.0f} s after the notice; trains again {seconds:.0f} s after another node has "
        f"joined; all {points} points in MLflow once; same weights",
    )
