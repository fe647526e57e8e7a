"""A search on a real cluster of three nodes, disturbed: it finds what it would have found, bit for bit."""

import random
import time

import pytest
from cluster_runs import Site, Submitted
from cluster_studies import Found, assert_same, finish, found, resume, tune, tuning, wait_for_evaluations
from faults_table import FaultsTable
from ray_cluster import title, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(2400)]
LOST = "what each running trial has trained since its last evaluation (here at most 40 rounds), trained again"
SAME = "same weights and moments of all trials, same confirmations, all {} points in MLflow once"
OUTAGE_SECONDS = 20.0


@pytest.fixture(scope="module")
def undisturbed_study(site: Site) -> Found:
    """What the study finds that nothing happens to."""
    finish(tune(site, "study-peaceful"))
    peaceful = found(site, "study-peaceful")
    assert all(peaceful.points.values())
    return peaceful


def started(site: Site, name: str, seed: int) -> Submitted:
    """The study, at a random moment of its search at which two trials run."""
    dice = random.Random(seed)
    submitted = tune(site, name)
    wait_for_evaluations(site, name, dice.randint(3, 12), submitted)
    time.sleep(dice.random())
    return submitted


def test_a_killed_trial(site: Site, undisturbed_study: Found, table: FaultsTable) -> None:
    submitted = started(site, "trial-killed", seed=71)
    random.Random(72).choice(site.cluster.processes("ray::ImplicitFunc")).kill()
    seconds = wait_for(lambda: "was interrupted (its process died); it goes on from" in submitted.text, "word of it")
    finish(submitted)
    points = assert_same(site, "trial-killed", undisturbed_study)
    table.row(
        "SIGKILL of the process of one of a study's trials",
        seen="“t… was interrupted (its process died); it goes on from image … when there is room”; exit code 0",
        lost=LOST,
        measured=f"said after {seconds:.0f} s; {SAME.format(points)}",
    )


def test_a_lost_node(site: Site, undisturbed_study: Found, table: FaultsTable) -> None:
    submitted = started(site, "study-node-lost", seed=81)
    lost = random.Random(82).choice(site.cluster.workers)
    lost.raylet().kill()
    seconds = wait_for(lambda: "was interrupted (its process died); it goes on from" in submitted.text, "word of it")
    finish(submitted)
    site.cluster.replace(lost)
    points = assert_same(site, "study-node-lost", undisturbed_study)
    table.row(
        "SIGKILL of a raylet: a study loses one of its two nodes",
        seen="the same words; the trials go on one after another on the node that is left; exit code 0",
        lost=LOST,
        measured=f"said after {seconds:.0f} s; {SAME.format(points)}",
    )


def test_all_nodes_lost(site: Site, undisturbed_study: Found, table: FaultsTable) -> None:
    submitted = started(site, "study-nodes-lost", seed=85)
    lost = list(site.cluster.workers)
    for node in lost:
        node.raylet().kill()
    wait_for(lambda: "has room for 0 of 1 workers: waiting for more nodes" in submitted.text, "word of the loss")
    for node in lost:
        site.cluster.replace(node)
    finish(submitted)
    points = assert_same(site, "study-nodes-lost", undisturbed_study)
    table.row(
        "SIGKILL of both raylets of a study",
        seen="“the cluster has room for 0 of 1 workers: waiting for more nodes”; exit code 0 once there are some",
        lost=LOST,
        measured=SAME.format(points),
    )


def test_a_killed_driver_of_a_study(site: Site, undisturbed_study: Found, table: FaultsTable) -> None:
    submitted = started(site, "study-driver-killed", seed=91)
    for process in site.cluster.head.processes("jobs/tune_gan.py"):
        if title(process).startswith("python"):
            process.kill()
    assert submitted.wait() == 1
    wait_for(lambda: not site.living(), "the end of the trials")
    finish(resume(site, "study-driver-killed"))
    points = assert_same(site, "study-driver-killed", undisturbed_study)
    table.row(
        "SIGKILL of the driver of a study",
        seen="the job is FAILED, exit code 1, its trials end too; it goes on from its ledger when it is submitted with "
        "`--resume`",
        lost=LOST,
        measured=SAME.format(points),
    )


def test_a_killed_head_of_a_study(site: Site, undisturbed_study: Found, table: FaultsTable) -> None:
    submitted = started(site, "study-head-killed", seed=95)
    site.cluster.head.kept.kill()
    assert submitted.wait() != 0
    wait_for(lambda: not site.living(), "the end of the trials")
    site.cluster.restart()
    finish(resume(site, "study-head-killed"))
    points = assert_same(site, "study-head-killed", undisturbed_study)
    table.row(
        "SIGKILL of the head, without Redis, during a study",
        seen="the watching command ends with an error; start a cluster and submit the study with `--resume`",
        lost=LOST,
        measured=SAME.format(points),
    )


def test_a_stopped_study(site: Site, undisturbed_study: Found, table: FaultsTable) -> None:
    name = "study-stopped"
    submitted = site.jobs("submit", "--name", name, "--", *tuning(site), "--name", name)
    wait_for_evaluations(site, name, 6, submitted)
    stop = site.jobs("stop", name)
    assert stop.wait() == 0, stop.text
    assert submitted.wait() == 1
    assert "interrupted; nothing is lost, go on with: gen-dist tune --resume study-stopped" in submitted.text
    wait_for(lambda: not site.living(), "the end of the trials")
    finish(site.jobs("resume", name))
    points = assert_same(site, name, undisturbed_study)
    table.row(
        "`gen-dist jobs stop` of a study, then `gen-dist jobs resume`",
        seen="“interrupted; nothing is lost, go on with: gen-dist tune --resume …”; the job is STOPPED",
        lost=LOST,
        measured=SAME.format(points),
    )


def test_services_away_during_a_study(site: Site, undisturbed_study: Found, table: FaultsTable) -> None:
    submitted = started(site, "study-alone", seed=99)
    site.s3.pause()
    site.mlflow.pause()
    try:
        time.sleep(OUTAGE_SECONDS)
    finally:
        site.s3.resume()
        site.mlflow.resume()
    finish(submitted)
    points = assert_same(site, "study-alone", undisturbed_study)
    table.row(
        f"S3 and MLflow hang for {OUTAGE_SECONDS:.0f} s during a study",
        seen="at most “… waiting for it, for up to 15 minutes”; trials wait at their next checkpoint; exit code 0",
        lost="nothing",
        measured=SAME.format(points),
    )
