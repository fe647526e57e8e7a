"""What a run takes of a cluster."""

import pytest

from gen_dist.cluster.session import EXPECT_GPUS_VARIABLE, GPU_SHARE, Resources, fits, has_gpus


def test_gpus_are_asked_for_where_they_are_expected(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request must name a GPU: a cluster that scales from none would never get one otherwise."""
    assert not has_gpus()
    assert Resources().settled() == Resources(gpus=0.0)
    monkeypatch.setenv(EXPECT_GPUS_VARIABLE, "1")
    assert has_gpus()
    assert Resources().settled() == Resources(gpus=GPU_SHARE)
    assert not fits(Resources().settled()), "there is none yet: the run says that it waits"
    monkeypatch.setenv(EXPECT_GPUS_VARIABLE, "0")
    assert not has_gpus()
