"""A run in stages: each with its own batches, optimizers that start anew, memories that fit; resumed bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pool import WorkerPool
from runs import everything, start
from torch import Tensor
from toys import OPTIMIZERS, MadeUpStream, ToyConfig

from gen_dist.data.storage import open_storage
from gen_dist.distributed.world import World
from gen_dist.training.checkpoint import capture, read_checkpoint, restore, write_checkpoint
from gen_dist.training.fit import fit
from gen_dist.training.settings import Stage, TrainingConfig
from gen_dist.training.training import Diverged, Training
from gen_dist.types import ImageBatch

STAGES = (
    Stage(images=80),
    Stage(images=72, batch_size=8, num_micro_batches=2, reset_optimizers=True),
    Stage(images=120, num_micro_batches=8),
)
SETTINGS = TrainingConfig(
    images=272, batch_size=16, num_micro_batches=4, rounds_per_report=2, num_threads=1, stages=STAGES
)
FAMILIES = ("hinge with spectral norm, batch norm, dropout", "wgan-gp", "persistent chains", "image pool")


class RecordedStream(MadeUpStream):
    """Notes what it was asked for, and what it was told that it would be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[int, int]] = []
        self.announced: list[tuple[int, int]] = []

    def take(self, start: int, count: int) -> ImageBatch:
        self.taken.append((start, count))
        return super().take(start, count)

    def prefetch(self, start: int, count: int) -> None:
        self.announced.append((start, count))


def to_end(training: Training) -> Training:
    while not training.finished:
        training.advance()
    return training


def test_each_stage_draws_its_own_batches_and_rounds_straddle_none() -> None:
    stream = RecordedStream()
    training = Training(ToyConfig(name="codebook"), SETTINGS, 0, stream)
    to_end(training)
    expected = [(p, 4) for p in range(0, 80, 4)]  # 5 rounds of 16 in 4 parts
    expected += [(p, 4) for p in range(80, 152, 4)]  # 9 rounds of 8 in 2 parts
    expected += [(p, 2) for p in range(152, 280, 2)]  # 8 rounds of 16 in 8 parts: the last one passes the end
    assert stream.taken[1:] == expected  # the first is for `prepare`
    assert stream.announced[:-1] == expected[1:], "what comes next is prepared, across the ends of stages too"
    assert training.moment.samples_seen == 280


def test_a_report_never_mixes_stages() -> None:
    history = to_end(start("codebook", settings=SETTINGS)).history
    assert [row["round"] for row in history] == [2, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22]
    assert [row["stage"] for row in history] == [0] * 3 + [1] * 5 + [2] * 4


def test_a_round_that_passes_a_boundary_shortens_the_next_stage() -> None:
    """Three critic steps of 16 images each: stage 0 ends at 96, not at 80."""
    training = start("wgan-gp", settings=replace(SETTINGS, rounds_per_report=1))
    seen = [(0, 0)]
    while not training.finished:
        training.advance()
        seen.append((training.moment.samples_seen, training.moment.stage))
    assert seen == [(0, 0), (48, 0), (96, 1), (120, 1), (144, 1), (168, 2), (216, 2), (264, 2), (312, 2)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_stage_that_asks_starts_with_optimizers_that_never_moved(optimizer: str) -> None:
    """At the boundary, weights go on and moments don't; a fresh run with these weights takes the same step."""
    how = {"optimizer": OPTIMIZERS[optimizer]}
    training = start("codebook", settings=replace(SETTINGS, rounds_per_report=100), **how)
    training.advance()
    assert training.moment.stage == 1
    assert not any(entry.startswith("model/") for entry in everything(training))
    fresh = start("codebook", settings=replace(SETTINGS, rounds_per_report=1), **how)
    fresh.state.learner.load_state_dict(training.state.learner.state_dict())
    fresh.state.moment = training.moment
    fresh.advance()
    training.settings = fresh.settings
    training.advance()
    for entry, tensor in everything(fresh).items():
        assert torch.equal(everything(training)[entry], tensor), entry


def test_a_stage_that_does_not_ask_keeps_moments() -> None:
    training = start("codebook", settings=replace(SETTINGS, rounds_per_report=100))
    training.advance()
    training.advance()
    assert training.moment.stage == 2
    steps = {float(tensor) for entry, tensor in everything(training).items() if entry.endswith("/step")}
    assert steps == {9.0}  # of the nine rounds since the reset


def test_averages_of_weights_go_on() -> None:
    name = "hinge with spectral norm, batch norm, dropout"
    training = start(name, settings=replace(SETTINGS, rounds_per_report=100))
    training.advance()
    assert training.state.updates["generator"] == 3  # two critic steps of 16 in each round: 80 images take three
    before = {entry: tensor.clone() for entry, tensor in training.state.ema.weights.items()}
    weights = dict(training.state.learner.named_parameters())
    assert any(not torch.equal(tensor, weights[entry]) for entry, tensor in before.items())
    training.advance()
    assert training.state.updates["generator"] > 3


@pytest.mark.parametrize(("stage", "kept"), [(Stage(images=80), True), (Stage(images=80, batch_size=8), False)])
def test_memories_go_on_only_where_micro_batches_stay_as_they_are(stage: Stage, kept: bool) -> None:
    settings = replace(SETTINGS, images=160, stages=(Stage(images=80), stage), rounds_per_report=100)
    training = start("persistent chains", settings=settings)
    training.advance()
    assert training.moment.stage == 1
    assert any(entry.startswith("memory/") for entry in everything(training)) == kept
    to_end(training)
    assert training.state.memory[0]["chain"].shape[0] == (4 if kept else 2)


@pytest.mark.parametrize("round_number", [4, 5, 7, 14, 16], ids=lambda r: f"after round {r}")
@pytest.mark.parametrize("name", FAMILIES)
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, name: str, round_number: int) -> None:
    """Within stages and at their boundaries."""
    settings = replace(SETTINGS, rounds_per_report=1)
    uninterrupted, killed = start(name, settings=settings), start(name, settings=settings)
    while killed.moment.round < round_number and not killed.finished:
        killed.advance()
    storage = open_storage(tmp_path)
    key = write_checkpoint(storage, capture(killed, config="{}", data_digest="d", evaluations=[]))
    resumed = start(name, settings=settings)
    restore(resumed, read_checkpoint(storage, key))
    assert resumed.moment == killed.moment
    expected, found = everything(to_end(uninterrupted)), everything(to_end(resumed))
    assert expected.keys() == found.keys()
    for entry, tensor in expected.items():
        assert torch.equal(found[entry], tensor), entry
    assert [row["stage"] for row in resumed.history] == [row["stage"] for row in uninterrupted.history]


def whole_run(name: str) -> dict[str, Tensor]:
    return everything(to_end(start(name, settings=SETTINGS)))


@pytest.mark.parametrize("name", ["hinge with spectral norm, batch norm, dropout", "image pool"])
def test_any_number_of_workers_trains_the_same_stages(pool: WorkerPool, name: str) -> None:
    (expected,) = pool.run(whole_run, name, workers=1)
    for found in pool.run(whole_run, name, workers=2):
        for entry, tensor in found.items():
            # Float64 sums in another order, amplified by a few chaotic GAN steps.
            torch.testing.assert_close(tensor, expected[entry], atol=1e-7, rtol=1e-7, msg=entry)


def test_more_workers_than_micro_batches_in_any_stage_is_an_error_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"4 workers cannot share 2 .* set training\.stages\[1\]\.num_micro_batches"):
        Training(ToyConfig(name="codebook"), SETTINGS, 0, MadeUpStream(), world=World(rank=0, size=4))


def test_a_divergence_at_the_end_of_a_stage_is_found_before_the_next_begins() -> None:
    poisoned = 64 + 3  # in the round that ends stage 0; see MadeUpStream
    training = start("poisoned", settings=replace(SETTINGS, rounds_per_report=100), poisoned=poisoned)
    with pytest.raises(Diverged) as caught:
        training.advance()
    assert (caught.value.round, caught.value.repeat) == (2, 0)
    assert any(entry.startswith("critic/") for entry in everything(training)), "moments are as they were"


def test_a_model_is_judged_at_the_end_of_each_stage() -> None:
    seen: list[Any] = []

    def evaluate(_learner: Any, moment: Any) -> dict[str, float]:
        seen.append((moment.stage, moment.samples_seen))
        return {"figure": 1.0}

    fit(start("codebook", settings=replace(SETTINGS, checkpoint_every_seconds=None)), evaluate=evaluate)
    assert seen == [(1, 80), (2, 152), (2, 280)]
