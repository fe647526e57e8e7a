"""SIGKILL of the head of a real cluster, without and with Redis: what stays, and how the run goes on."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cluster_runs import ROUNDS_PER_CHECKPOINT, Site
from faults_table import FaultsTable
from ray_cluster import RayCluster, wait_for
from redis_server import RedisServer

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(3000)]
INTERVAL = f"what was trained since the last checkpoint (here at most {ROUNDS_PER_CHECKPOINT} rounds), trained again"


def test_a_killed_head(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = site.train("head-killed")
    site.wait_for_checkpoint("head-killed", random.Random(61).randint(1, 4), submitted)
    kept = site.newest_key("head-killed")
    site.cluster.head.kept.kill()
    assert submitted.wait() != 0
    orphans = wait_for(lambda: not site.living(), "the end of the workers")
    site.cluster.restart()
    resumed = site.resume("head-killed")
    assert resumed.wait() == 0, resumed.text
    came_from = site.goes_on(resumed)
    assert came_from is not None
    assert came_from >= kept
    points = site.assert_whole("head-killed", peaceful)
    table.row(
        "SIGKILL of the head, without Redis",
        seen="the watching command ends with an error. The cluster is lost and forgets its jobs; nothing goes on by "
        "itself: start a cluster, submit the run with `--resume`",
        lost=INTERVAL,
        measured=f"its workers had ended {orphans:.0f} s later; all {points} points in MLflow once; same weights",
    )


@pytest.fixture
def with_redis(site: Site) -> Iterator[Site]:
    """The site with another cluster, whose head keeps its memory in Redis."""
    redis = RedisServer(site.folder)
    cluster = RayCluster(site.cluster.services, redis=redis.address)
    yield replace(site, cluster=cluster)
    cluster.stop()
    redis.stop()


def test_a_killed_head_with_redis(with_redis: Site, peaceful: str, table: FaultsTable) -> None:
    site, cluster = with_redis, with_redis.cluster
    name = "head-killed-redis"
    submitted = site.jobs("submit", "--name", name, "--", *site.training(), "--workers", "2")
    site.wait_for_checkpoint(name, random.Random(62).randint(1, 4), submitted)
    kept, raylets = site.newest_key(name), [worker.raylet().pid for worker in cluster.workers]
    cluster.head.kept.kill()
    assert submitted.wait() != 0
    cluster.start_head()
    seconds = wait_for(lambda: {worker.name for worker in cluster.workers} <= set(cluster.alive()), "the workers again")
    assert raylets == [worker.raylet().pid for worker in cluster.workers]
    wait_for(lambda: not site.living(), "the end of what the head had started")
    resumed = site.jobs("resume", name)
    assert resumed.wait() == 0, resumed.text
    came_from = site.goes_on(resumed)
    assert came_from is not None
    assert came_from >= kept
    points = site.assert_whole(name, peaceful)
    table.row(
        "SIGKILL of the head, with Redis",
        seen="the watching command ends with an error. A new head at the same address finds nodes and jobs again; the "
        "driver was on the head, so the run ended with it: `gen-dist jobs resume`",
        lost=INTERVAL,
        measured=f"both raylets of the workers had joined the new head {seconds:.0f} s after it answered; all {points} "
        "points in MLflow once; same weights",
    )
