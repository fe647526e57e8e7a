"""A run killed at any moment and resumed continues the same trajectory; a damaged checkpoint is refused by name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pool import WorkerPool
from runs import SETTINGS, everything, start
from torch import Tensor
from toys import OPTIMIZERS, TOYS

from gen_dist.data.storage import Storage, open_storage
from gen_dist.data.storage_local import LocalBackend
from gen_dist.training.checkpoint import (
    CheckpointError,
    capture,
    complete_keys,
    read_checkpoint,
    restore,
    write_checkpoint,
)
from gen_dist.training.checkpointing import CheckpointWarning, CheckpointWriter, latest_checkpoint
from gen_dist.training.training import Training

ENDLESS = replace(SETTINGS, images=10**9)


def advance_to(training: Training, round_number: int) -> None:
    while training.moment.round < round_number:
        training.advance()


def save(training: Training, folder: Path) -> str:
    checkpoint = capture(training, config="{}", data_digest="d", evaluations=[])
    return write_checkpoint(open_storage(folder), checkpoint) if training.world.rank == 0 else checkpoint.key


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", TOYS)
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, name: str, optimizer: str) -> None:
    uninterrupted = start(name, settings=ENDLESS, optimizer=OPTIMIZERS[optimizer])
    advance_to(uninterrupted, 9)
    killed = start(name, settings=ENDLESS, optimizer=OPTIMIZERS[optimizer])
    advance_to(killed, 3)
    key = save(killed, tmp_path)
    resumed = start(name, settings=ENDLESS, optimizer=OPTIMIZERS[optimizer])
    restore(resumed, read_checkpoint(open_storage(tmp_path), key))
    advance_to(resumed, 9)
    expected, found = everything(uninterrupted), everything(resumed)
    assert expected.keys() == found.keys()
    for entry, tensor in expected.items():
        assert torch.equal(found[entry], tensor), entry
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history]
    assert timeless == [{k: v for k, v in row.items() if k != "seconds"} for row in uninterrupted.history]
    assert resumed.state.updates == uninterrupted.state.updates


def first_half(name: str, folder: Path) -> str:
    training = start(name, settings=ENDLESS)
    advance_to(training, 3)
    return save(training, folder)


def second_half(name: str, folder: Path, key: str) -> dict[str, Tensor]:
    training = start(name, settings=ENDLESS)
    restore(training, read_checkpoint(open_storage(folder), key))
    advance_to(training, 9)
    return everything(training)


def whole(name: str) -> dict[str, Tensor]:
    training = start(name, settings=ENDLESS)
    advance_to(training, 9)
    return everything(training)


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 3), (1, 4), (3, 1)])
@pytest.mark.parametrize("name", TOYS)
def test_another_number_of_workers_continues_the_same_run(
    pool: WorkerPool, tmp_path: Path, name: str, before: int, after: int
) -> None:
    expected = pool.run(whole, name, workers=1)[0]
    key = pool.run(first_half, name, tmp_path, workers=before)[0]
    for found in pool.run(second_half, name, tmp_path, key, workers=after):
        for entry, tensor in found.items():
            # Float64 sums in another order, amplified by a few chaotic GAN steps.
            torch.testing.assert_close(tensor, expected[entry], atol=1e-7, rtol=1e-7, msg=entry)


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "edited":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "edited", "missing"])
@pytest.mark.parametrize(
    "file", ["learner.safetensors", "ema.safetensors", "optimizers.safetensors", "memory.safetensors", "state.json"]
)
def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_is_used(
    tmp_path: Path, file: str, how: str
) -> None:
    training = start("image pool", settings=ENDLESS)
    advance_to(training, 3)
    older = save(training, tmp_path)
    advance_to(training, 6)
    newer = save(training, tmp_path)
    damage(tmp_path / newer / file, how)
    with pytest.raises(CheckpointError, match=f"{newer}/{file} (is missing|is cut short|was changed)"):
        read_checkpoint(open_storage(tmp_path), newer)
    with pytest.warns(CheckpointWarning, match=f"{newer}/{file}"):
        used = latest_checkpoint(open_storage(tmp_path))
    assert used is not None
    assert used.key == older


def test_without_a_manifest_a_checkpoint_does_not_exist(tmp_path: Path) -> None:
    training = start("codebook", settings=ENDLESS)
    advance_to(training, 3)
    key = save(training, tmp_path)
    (tmp_path / key / "manifest.json").unlink()
    assert complete_keys(open_storage(tmp_path)) == []
    assert latest_checkpoint(open_storage(tmp_path)) is None


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"schema_version": 7, "files": {}}', '{"files": {"../x": 1}}'])
def test_a_nonsense_manifest_is_refused(tmp_path: Path, manifest: str) -> None:
    training = start("codebook", settings=ENDLESS)
    advance_to(training, 3)
    key = save(training, tmp_path)
    (tmp_path / key / "manifest.json").write_text(manifest)
    with pytest.raises(CheckpointError, match=f"{key}/manifest.json"):
        read_checkpoint(open_storage(tmp_path), key)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    training = start("codebook", settings=ENDLESS)
    advance_to(training, 3)
    checkpoint = read_checkpoint(open_storage(tmp_path), save(training, tmp_path))
    with pytest.raises(CheckpointError, match=r"learner\.safetensors does not fit the model"):
        restore(start("image pool"), checkpoint)


def test_the_writer_keeps_the_newest_and_leaves_nothing_else(tmp_path: Path) -> None:
    training = start("codebook", settings=ENDLESS)
    writer = CheckpointWriter(open_storage(tmp_path), keep=2)
    keys = []
    for round_number in (3, 6, 9, 12):
        advance_to(training, round_number)
        checkpoint = capture(training, config="{}", data_digest="d", evaluations=[])
        keys.append(checkpoint.key)
        writer.submit(checkpoint)
    writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == keys[-2:]
    assert writer.last_key == keys[-1]


def test_what_was_refused_at_the_start_does_not_crowd_out_what_is_written_since(tmp_path: Path) -> None:
    training = start("codebook", settings=ENDLESS)
    advance_to(training, 3)
    checkpoint = capture(training, config="{}", data_digest="d", evaluations=[])
    refused, unfinished = f"{10**6:015d}", f"{1:015d}"
    for key, name in ((refused, "manifest.json"), (unfinished, "learner.safetensors")):
        (tmp_path / key).mkdir()
        (tmp_path / key / name).write_text("damaged")
    writer = CheckpointWriter(open_storage(tmp_path), keep=1)
    writer.submit(checkpoint)
    writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [checkpoint.key, refused]
    with pytest.warns(CheckpointWarning, match=refused):
        used = latest_checkpoint(open_storage(tmp_path))
    assert used is not None
    assert used.key == checkpoint.key


class FullDisk:
    """A local folder whose disk is full for the first writes."""

    def __init__(self, folder: Path, failures: int) -> None:
        self.backend, self.failures = LocalBackend(folder), failures

    def write_bytes(self, name: str, data: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device", name)
        self.backend.write_bytes(name, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)


def full_disk(folder: Path, *, failures: int) -> Storage:
    return Storage(FullDisk(folder, failures), "")  # type: ignore[arg-type]


def test_a_full_disk_is_tried_again_and_training_goes_on(tmp_path: Path) -> None:
    training = start("codebook", settings=ENDLESS)
    advance_to(training, 3)
    pauses: list[float] = []
    writer = CheckpointWriter(full_disk(tmp_path, failures=2), keep=2, pause=pauses.append)
    writer.submit(capture(training, config="{}", data_digest="d", evaluations=[]))
    writer.close()
    assert complete_keys(open_storage(tmp_path)) == [writer.last_key]
    assert pauses == [1.0, 2.0]


@pytest.mark.filterwarnings("ignore::gen_dist.training.checkpointing.CheckpointWarning")
def test_a_disk_that_stays_full_is_said_at_the_end(tmp_path: Path) -> None:
    training = start("codebook", settings=ENDLESS)
    advance_to(training, 3)
    writer = CheckpointWriter(full_disk(tmp_path, failures=10**6), keep=2, pause=lambda seconds: None)
    writer.submit(capture(training, config="{}", data_digest="d", evaluations=[]))
    with pytest.raises(CheckpointError, match="No space left on device"):
        writer.close()


def test_state_json_is_plain_json(tmp_path: Path) -> None:
    training = start("codebook", settings=ENDLESS)
    advance_to(training, 3)
    state = json.loads((tmp_path / save(training, tmp_path) / "state.json").read_text())
    assert state["moment"]["samples_seen"] == 3 * 16
    assert state["num_threads"] == 1
