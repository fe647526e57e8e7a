"""Jobs on a real cluster of three nodes, by the commands of the README and of `gen-dist jobs --help`."""

import json
import re

import psycopg
import pytest
from cluster_runs import REPOSITORY, Site
from faults_table import FaultsTable

from gen_dist.cluster.jobs import uploaded_files
from gen_dist.workflows.job import read_result

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(2400)]
UPLOAD_BYTES = 3 << 20
EVERYTHING = "SELECT key || value FROM params UNION ALL SELECT key || value FROM tags"


def test_a_run_by_the_readme(site: Site, peaceful: str) -> None:
    site.assert_whole("peaceful", peaceful)
    (text,) = [submitted.text for submitted in site.submitted if "peaceful" in submitted.words]
    assert "training on 3 nodes, 2 CPUs" in text
    assert re.search(r"Job '\w+' succeeded", text)


def test_what_is_uploaded_is_small_and_is_code(site: Site) -> None:
    files = uploaded_files(REPOSITORY)
    assert sum(size for size, _ in files) < UPLOAD_BYTES
    assert {path.split("/")[0] for _, path in files if "/" in path} == {"gen_dist", "jobs"}


def test_a_job_that_fails_says_why_and_by_its_exit_code(site: Site) -> None:
    by_ray = site.ray_job("jobs/train.py", "dcgan-9")
    ours = site.jobs("submit", "--name", "mistaken", "--", "jobs/train.py", "dcgan-9")
    for submitted in (by_ray, ours):
        assert submitted.wait() == 1, submitted.text
        assert "error: there is no preset 'dcgan-9'; did you mean" in submitted.text
    assert "mistaken is FAILED" in ours.text


def test_without_the_token_nothing_is_let_in(site: Site) -> None:
    before = len(site.cluster.ask("/api/jobs/"))
    by_ray = site.ray_job("jobs/train.py", "dcgan-8", token=False)
    ours = site.jobs("submit", "--", "jobs/train.py", "dcgan-8", token=False)
    assert by_ray.wait() != 0
    assert ours.wait() == 2
    assert "token" in ours.text
    assert "Traceback" not in ours.text
    assert len(site.cluster.ask("/api/jobs/")) == before


def test_a_job_is_stopped_and_resumed_and_no_secret_is_seen(site: Site, peaceful: str, table: FaultsTable) -> None:
    submitted = site.jobs("submit", "--no-wait", "--name", "stopped", "--", *site.training(), "--workers", "2")
    assert submitted.wait() == 0, submitted.text
    watching = site.jobs("logs", "stopped", "--follow")
    site.wait_for_checkpoint("stopped", 3, watching)
    assert not [title for node in site.cluster.nodes for title in node.titles() if site.canary in title]
    stop = site.jobs("stop", "stopped")
    assert stop.wait() == 0, stop.text
    assert "stopped is STOPPED; go on with it: gen-dist jobs resume stopped" in stop.text
    assert watching.wait() == 1
    stopped = read_result(site.run("stopped"))
    assert stopped is not None, watching.text
    assert not stopped.finished
    assert f"stopped after {stopped.samples_seen:,} images; go on with" in watching.text
    assert site.newest_key("stopped") == stopped.samples_seen
    resumed = site.jobs("resume", "stopped")
    assert resumed.wait() == 0, resumed.text
    assert site.goes_on(resumed) == stopped.samples_seen
    points = site.assert_whole("stopped", peaceful)
    assert_nobody_sees_the_secret(site)
    table.row(
        "`gen-dist jobs stop` of a run on a cluster, then `gen-dist jobs resume`",
        seen="“stopping after a checkpoint”, “stopped after … images; go on with: …”; the job is STOPPED, exit code 1 "
        "for whoever follows it",
        lost="nothing: it stops after a checkpoint",
        measured=f"goes on from the image where it stopped; all {points} points in MLflow once; same weights",
    )


def assert_nobody_sees_the_secret(site: Site) -> None:
    """Neither what the dashboard tells of jobs, nor any log of Ray's or of a command, nor MLflow."""
    jobs = site.cluster.ask("/api/jobs/")
    assert {"stopped", "mistaken"} <= {job["submission_id"] for job in jobs}
    assert site.canary not in json.dumps(jobs)
    for job in jobs:
        assert site.canary not in json.dumps(site.cluster.ask(f"/api/jobs/{job['submission_id']}/logs"))
    logs = [path for path in (site.cluster.folder / "ray").glob("*/session_*/logs/**/*") if path.is_file()]
    assert logs
    assert not [path.name for path in logs if site.canary.encode() in path.read_bytes()]
    assert not [submitted for submitted in site.submitted if site.canary in submitted.text]
    with psycopg.connect(site.postgres.uri) as connection:
        told = [text for (text,) in connection.execute(EVERYTHING).fetchall()]
    assert told
    assert not [text for text in told if site.canary in text]
