"""What a run takes of a cluster."""

import signal
from typing import Any

import pytest

from gen_dist.cluster.session import (
    EXPECT_GPUS_VARIABLE,
    GPU_SHARE,
    Resources,
    fits,
    has_gpus,
    how_many_fit,
    shortage,
    signals_kept,
)


def test_gpus_are_asked_for_where_they_are_expected(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request must name a GPU: a cluster that scales from none would never get one otherwise."""
    assert not has_gpus()
    assert Resources().settled() == Resources(gpus=0.0)
    monkeypatch.setenv(EXPECT_GPUS_VARIABLE, "1")
    assert has_gpus()
    assert Resources().settled() == Resources(gpus=GPU_SHARE)
    assert Resources(workers=2).settled() == Resources(gpus=1.0, workers=2), "NCCL wants one for each worker"
    assert not fits(Resources().settled()), "there is none yet: the run says that it waits"
    monkeypatch.setenv(EXPECT_GPUS_VARIABLE, "0")
    assert not has_gpus()


def test_as_many_trials_run_at_once_as_have_room_for_all_their_workers(ray_cluster: None) -> None:
    assert how_many_fit(Resources(cpus=0.5)) == 4
    assert how_many_fit(Resources(cpus=0.5, workers=2)) == 2
    assert how_many_fit(Resources(cpus=0.5, workers=3)) == 1
    assert how_many_fit(Resources(cpus=1.5, workers=2)) == 0, "two CPUs hold one worker of 1.5, not two"


def test_a_trial_that_has_no_room_says_what_it_waits_for(ray_cluster: None) -> None:
    assert shortage(Resources(cpus=1.0, workers=2)) is None
    assert shortage(Resources(cpus=4.0)) == (
        "a trial takes 4 CPUs, and now no node is that large: waiting for more nodes (Ctrl-C to give up)"
    )
    assert shortage(Resources(cpus=1.0, workers=4), what="a run") == (
        "a run takes 4 workers with 1 CPUs each, and now there is room for 2 of them: waiting for more nodes "
        "(Ctrl-C to give up)"
    )


def test_workers_that_share_a_gpu_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 workers with 0.5 GPUs each: NCCL wants one for each worker"):
        Resources(workers=2, gpus=0.5)


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_a_request_to_end_is_taken_as_ctrl_c(ray_cluster: None, ctrl_c: Any) -> None:
    """Also where Ctrl-C itself is ignored, and after Ray Tune has left a handler of its own that does nothing."""
    before = signal.signal(signal.SIGINT, ctrl_c)
    try:
        with signals_kept():
            signal.signal(signal.SIGINT, lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)
