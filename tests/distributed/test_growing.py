"""The progressive GAN through the loop: it grows with its stages, and a run that is cut off inside a fade goes on."""

from pathlib import Path

import pytest
import torch
from contract.small_presets import DoubleConfig, MadeUpImages, narrow, spec_of
from pool import WorkerPool
from runs import everything
from torch import Tensor

from gen_dist.bundle.bundle import load_bundle, save_bundle
from gen_dist.data.storage import open_storage
from gen_dist.distributed.world import World
from gen_dist.presets import preset
from gen_dist.sampling.draw import draw_samples
from gen_dist.training.checkpoint import capture, read_checkpoint, restore, write_checkpoint
from gen_dist.training.settings import Stage, TrainingConfig
from gen_dist.training.training import Training

NAME = "progressive-8"
SETTINGS = TrainingConfig(
    images=32 + 64,
    batch_size=8,
    num_micro_batches=2,
    rounds_per_report=1,
    num_threads=1,
    stages=(
        Stage(images=32),
        Stage(images=64, batch_size=16, num_micro_batches=4, reset_optimizers=True),  # two rounds fade, two do not
    ),
)


def start() -> Training:
    model = DoubleConfig(model=narrow(preset(NAME)).model)
    return Training(model, SETTINGS, 0, MadeUpImages(spec_of(NAME)), world=World.current(torch.device("cpu")))


def to_end(training: Training) -> Training:
    while not training.finished:
        training.advance()
    return training


def advanced(rounds: int) -> Training:
    training = start()
    while training.moment.round < rounds:
        training.advance()
    return training


def weights(training: Training) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in training.state.learner.named_parameters()}


@pytest.mark.parametrize(
    ("first", "last", "moved"),
    [(0, 4, "0"), (4, 6, "01"), (6, 8, "1")],
    ids=["small size", "fade", "full size"],
)
def test_layers_move_while_they_are_in_use_and_only_then(first: int, last: int, moved: str) -> None:
    training = advanced(first)
    before = weights(training)
    while training.moment.round < last:
        training.advance()
    now = weights(training)
    changed = {name for name in before if not torch.equal(before[name], now[name])}
    between = {name.split("image.")[1][0] for name in changed if "to_image" in name or "from_image" in name}
    assert between == set(moved)
    for layers in ("generator.levels.1.", "critic.levels.0."):  # those of the full size
        mine = {name for name in before if name.startswith(layers)}
        assert mine <= changed if "1" in moved else not mine & changed
    assert {name for name in before if name.startswith(("generator.levels.0.", "critic.top."))} <= changed


@pytest.mark.parametrize("rounds", [2, 4, 5, 7], ids=["small size", "boundary", "inside the fade", "full size"])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, rounds: int) -> None:
    killed = advanced(rounds)
    if rounds == 5:
        assert 0.0 < killed.state.learner.growth_at(killed.moment).fade < 1.0
    storage = open_storage(tmp_path)
    key = write_checkpoint(storage, capture(killed, config="{}", data_digest="d", evaluations=[]))
    resumed = start()
    restore(resumed, read_checkpoint(storage, key))
    expected, found = everything(to_end(start())), everything(to_end(resumed))
    assert expected.keys() == found.keys()
    for entry, tensor in expected.items():
        assert torch.equal(found[entry], tensor), entry


def whole_run() -> dict[str, Tensor]:
    return everything(to_end(start()))


def test_any_number_of_workers_grows_the_same_networks(pool: WorkerPool) -> None:
    (expected,) = pool.run(whole_run, workers=1)
    for found in pool.run(whole_run, workers=2):
        for entry, tensor in found.items():
            # Float64 sums in another order, amplified by Adam's division and a few chaotic GAN steps.
            torch.testing.assert_close(tensor, expected[entry], atol=1e-7, rtol=1e-7, msg=entry)


def test_a_model_in_the_middle_of_its_curriculum_is_drawn_from_as_it_is(tmp_path: Path) -> None:
    """Small images enlarged; and a bundle, which has no clock, draws the same."""
    training = Training(narrow(preset(NAME)).model, SETTINGS, 0, MadeUpImages(spec_of(NAME)))
    training.advance()
    learner = training.evaluation_copy()
    images = draw_samples(learner, 4, seed=1)
    assert images.shape == (4, *spec_of(NAME).shape)
    small = images[:, :, ::2, ::2]
    assert torch.equal(images, small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    save_bundle(learner, narrow(preset(NAME)).model, spec_of(NAME), {}, tmp_path / "bundle")
    assert torch.equal(draw_samples(load_bundle(tmp_path / "bundle").learner, 4, seed=1), images)
    to_end(training)
    grown = draw_samples(training.evaluation_copy(), 4, seed=1)
    assert not torch.equal(grown[:, :, ::2, ::2], grown[:, :, 1::2, 1::2])
