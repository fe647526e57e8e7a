"""The loop's promises on a GPU. Every test is skipped where there is none."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from contract.small_presets import FULL_PRECISION, NAMES, NAMES_8, MadeUpImages, advance, narrow, settings, spec_of
from pool import WorkerPool
from runs import everything
from torch import Tensor
from toys import OPTIMIZERS

from gen_dist.distributed.world import World
from gen_dist.presets import preset
from gen_dist.training.training import Diverged, Training

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch sees none"),
]

GPU = torch.device("cuda", 0)
WAITING = "ffjord"  # torchdiffeq looks at times and errors on the host
CONVOLUTIONAL = ("dcgan-32", "wgan-gp-28", "vae-28", "pixelcnn-28", "realnvp-28", "convnet-28")


@pytest.fixture(autouse=True)
def exact_kernels() -> Iterator[None]:
    """Convolutions in full float32, and the same kernel every time."""
    torch.cuda.set_device(GPU)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def start(name: str, *, device: torch.device = GPU, pin_memory: bool = False, **changes: Any) -> Training:
    """A narrow preset on a device, in the world of the current process group."""
    world = World.current(device)
    stream = MadeUpImages(spec_of(name), pin_memory=pin_memory)
    return Training(narrow(preset(name)).model, settings(**changes), 0, stream, world=world, device=device)


def breaking(optimizer: str, *, fused: bool) -> Training:
    """A GAN whose critic's scores overflow in round 2."""
    chosen = OPTIMIZERS[optimizer]
    model = replace(narrow(preset("dcgan-8")).model, critic_optimizer=chosen, generator_optimizer=chosen)
    stream = MadeUpImages(spec_of("dcgan-8"))
    training = Training(model, settings(num_micro_batches=2, fused=fused), 0, stream, device=GPU)
    training.state.learner.critic.register_forward_hook(
        lambda _module, _inputs, scores: scores * float("inf") if training.moment.round >= 2 else scores
    )
    return training


def on_host(training: Training) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in everything(training).items()}


def train_on_the_gpu(name: str) -> dict[str, Tensor]:
    """For the pool's workers: gloo between processes, all computing on one GPU."""
    torch.cuda.set_device(GPU)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        return on_host(advance(start(name, batch_size=16, num_micro_batches=4), 3))


@pytest.fixture
def nccl() -> Iterator[None]:
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1, device_id=GPU)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["dcgan-8", "rbm-8", "convnet-8"])
def test_a_world_of_one_under_nccl_trains_what_no_group_trains(nccl: None, name: str) -> None:
    grouped = start(name, num_micro_batches=2)
    assert (grouped.world.rank, grouped.world.size) == (0, 1)
    found = on_host(advance(grouped))
    dist.barrier()
    alone = Training(
        narrow(preset(name)).model,
        settings(num_micro_batches=2),
        0,
        MadeUpImages(spec_of(name)),
        world=World(device=GPU),
        device=GPU,
    )
    expected = on_host(advance(alone))
    for entry, tensor in expected.items():
        # The same kernels on the same data; atomic additions of a few backward passes are in no fixed order.
        torch.testing.assert_close(found[entry], tensor, atol=1e-5, rtol=1e-4, msg=entry)


def test_nccl_carries_all_that_workers_say(nccl: None) -> None:
    """A group of one that is told it has two: everything is really sent, and comes back as it went."""
    world = World(0, 2, GPU)
    tensors = [torch.randn(3, 2, 4, 4, device=GPU).to(memory_format=torch.channels_last), torch.arange(5, device=GPU)]
    before = [tensor.clone() for tensor in tensors]
    world.sum_(tensors)
    world.broadcast_(tensors)
    for tensor, value in zip(tensors, before, strict=True):
        assert torch.equal(tensor, value)
        assert tensor.stride() == value.stride()
    assert world.tell({"chain": [[2, 3], "float32"]}) == {"chain": [[2, 3], "float32"]}
    assert world.any(True, False) == (True, False)


@pytest.mark.parametrize("name", NAMES_8)
def test_two_processes_on_one_gpu_train_what_one_trains(pool: WorkerPool, name: str) -> None:
    alone = pool.run(train_on_the_gpu, name, workers=1)[0]
    for tensors in pool.run(train_on_the_gpu, name, workers=2):
        for entry, tensor in tensors.items():
            if name == "rbm-8" and entry.startswith("memory/"):
                continue  # a probability that differs in the last bit may flip a unit of a chain
            # Float32 sums in another order, amplified by Adam's division by small moments.
            torch.testing.assert_close(tensor, alone[entry], atol=2e-3, rtol=2e-3, msg=entry)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FULL_PRECISION])
def test_bfloat16_loses_little(name: str) -> None:
    reduced, full = (start(name, precision=precision) for precision in ("bfloat16", "float32"))
    row, expected = reduced.advance(), full.advance()
    assert any(row[key] != value for key, value in expected.items() if key.endswith("/gradient_norm")), "not used"
    for key, value in expected.items():
        if key.endswith("/loss"):
            # bfloat16 keeps 8 bits: each product is off by up to 0.4 %, which mostly averages out over a sum.
            assert abs(row[key] - value) <= 0.02 * max(1.0, abs(value)), key
    assert all(tensor.isfinite().all() for tensor in on_host(advance(reduced, 5)).values())


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_channels_last_trains_what_contiguous_trains(name: str) -> None:
    rows = [start(name, channels_last=choice).advance() for choice in (True, False)]
    for key, value in rows[1].items():
        if key.endswith("/loss"):
            assert rows[0][key] == pytest.approx(value, rel=1e-4, abs=1e-4), key  # other kernels, float32
    assert all(tensor.isfinite().all() for tensor in on_host(advance(start(name, channels_last=True), 5)).values())


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_is_not_finite_changes_nothing(optimizer: str, fused: bool) -> None:
    broken = advance(breaking(optimizer, fused=fused), 2)
    before = on_host(broken)
    with pytest.raises(Diverged) as caught:
        broken.advance()
    assert (caught.value.round, caught.value.repeat, caught.value.player) == (2, 0, "critic")
    assert caught.value.tensor == "output of critic (Sequential)"
    for entry, tensor in on_host(broken).items():
        # An unfused optimizer counts on the host, where no flag is read; RMSprop has no fused variant.
        if (fused and optimizer != "rmsprop") or not entry.endswith("/step"):
            assert torch.equal(tensor, before[entry]), entry


@pytest.mark.parametrize("name", ["dcgan-8", "convnet-8"])
def test_batches_come_from_pinned_memory_without_waiting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[tuple[bool, bool]] = []
    plain = Tensor.to

    def watched(tensor: Tensor, *where: Any, **how: Any) -> Tensor:
        if tensor.dtype in (torch.uint8, torch.int64) and not tensor.is_cuda and where[:1] == (GPU,):
            copies.append((tensor.is_pinned(), how.get("non_blocking", False)))
        return plain(tensor, *where, **how)

    training = start(name, pin_memory=True)
    training.advance()
    monkeypatch.setattr(Tensor, "to", watched)
    training._round()
    monkeypatch.undo()
    assert copies
    assert set(copies) == {(True, True)}
    # What arrives is what was sent, though the host has long gone on.
    expected = on_host(advance(start(name), 2))
    assert all(torch.equal(expected[e], t) for e, t in on_host(training).items() if e.endswith("num_batches_tracked"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(WAITING)])
def test_the_host_never_waits_for_the_device_inside_a_round(name: str, precision: str) -> None:
    training = start(name, pin_memory=True, precision=precision, num_micro_batches=2)
    advance(training, 2)  # kernels are chosen and moments made
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        training._round()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert int(training.state.failure) == -1
