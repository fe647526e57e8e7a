"""CycleGAN in float64: what its losses are and are not, its pools of past images, and its networks' sizes."""

from math import prod, sqrt

import pytest
import torch
from torch import Tensor, nn
from translation_cases import ALIKE, DOUBLE, PAIRS, cyclegan, pairs_of, signal_of

from gen_dist.capabilities import Samples, Translates
from gen_dist.learner import Context
from gen_dist.models.gan.cyclegan import CycleGANConfig
from gen_dist.models.gan.image_pool import exchange
from gen_dist.presets import preset
from gen_dist.types import DataSpec, ImageBatch, Moment, SourceSpec, to_signed


def test_translators_that_change_nothing_pay_for_no_cycle_and_no_identity() -> None:
    learner, batch = cyclegan(identity_weight=5.0), pairs_of(4, ALIKE)
    for domain in ("images", "sources"):
        learner.generators[domain] = nn.Sequential(nn.Identity())
    signal = signal_of(learner, "generators", batch)
    assert signal.metrics["cycle"] == 0.0
    assert signal.metrics["identity"] == 0.0
    assert signal.value == signal.metrics["adversarial"]
    learner.generators["images"] = nn.Hardtanh(-1.0, 0.0)  # loses the bright half of every source
    signal = signal_of(learner, "generators", batch)
    assert batch.sources is not None
    lost = (
        to_signed(batch.sources, DOUBLE).clamp(min=0.0).mean() + to_signed(batch.images, DOUBLE).clamp(min=0.0).mean()
    )
    torch.testing.assert_close(signal.metrics["cycle"], lost, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("identity_weight", [0.0, 5.0])
def test_the_generators_loss_is_the_papers(identity_weight: float) -> None:
    learner, batch = cyclegan(identity_weight=identity_weight, cycle_weight=3.0), pairs_of(3, ALIKE)
    assert batch.sources is not None
    x, y = to_signed(batch.sources, DOUBLE), to_signed(batch.images, DOUBLE)
    to_images, to_sources = learner.generators["images"], learner.generators["sources"]
    scores = learner.critics["images"](to_images(x)), learner.critics["sources"](to_sources(y))
    expected = sum((score - 1.0).square().mean() for score in scores)
    expected = expected + 3.0 * (
        (to_sources(to_images(x)) - x).abs().mean() + (to_images(to_sources(y)) - y).abs().mean()
    )
    expected = expected + identity_weight * ((to_images(y) - y).abs().mean() + (to_sources(x) - x).abs().mean())
    torch.testing.assert_close(signal_of(learner, "generators", batch).value, expected, rtol=1e-12, atol=0.0)


def test_the_critics_loss_is_half_the_papers() -> None:
    learner, batch = cyclegan(pool_size=0), pairs_of(3, ALIKE)
    assert batch.sources is not None
    x, y = to_signed(batch.sources, DOUBLE), to_signed(batch.images, DOUBLE)
    made = {"images": learner.generators["images"](x), "sources": learner.generators["sources"](y)}
    expected = sum(
        (learner.critics[domain](real) - 1.0).square().mean() + learner.critics[domain](made[domain]).square().mean()
        for domain, real in (("images", y), ("sources", x))
    )
    torch.testing.assert_close(signal_of(learner, "critics", batch).value, expected / 2, rtol=1e-12, atol=0.0)


def test_nothing_depends_on_which_source_stands_beside_which_image() -> None:
    learner, batch = cyclegan(identity_weight=5.0, pool_size=0), pairs_of(5, ALIKE)
    assert batch.sources is not None
    other = ImageBatch(images=batch.images, sources=batch.sources[[3, 0, 4, 1, 2]])
    for phase in ("generators", "critics"):
        first, second = (signal_of(learner, phase, shown).value for shown in (batch, other))
        torch.testing.assert_close(first, second, rtol=1e-12, atol=0.0)  # sums in another order
    assert CycleGANConfig(patch_size=16).build(PAIRS).shapes["sources"] == (3, 8, 8)  # paired data does as well


@pytest.mark.parametrize("data", [ALIKE, PAIRS], ids=["grey to grey", "colour to grey"])
def test_a_phase_moves_its_player_whole_and_nobody_else(data: DataSpec) -> None:
    learner = cyclegan(data)
    for name, other in (("critics", learner.generators), ("generators", learner.critics)):
        learner.zero_grad(set_to_none=True)
        signal_of(learner, name, pairs_of(6, data)).deposit(learner.active(name, Moment()), 0.5)
        assert all(parameter.grad is None for parameter in other.parameters())
        for key, parameter in learner.players[name].module.named_parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 1e-10, f"{key} of the {name} never moves"


def test_it_translates_both_ways_and_draws_nothing() -> None:
    learner, batch = cyclegan(PAIRS).eval(), pairs_of(4, PAIRS)
    assert batch.sources is not None
    there = learner.translate(batch.sources)
    assert there.shape == batch.images.shape
    assert torch.equal(there, learner.translate(batch.sources))
    assert learner.translate_back(batch.images).shape == batch.sources.shape
    assert isinstance(learner, Translates)
    assert not isinstance(learner, Samples)
    with pytest.raises(ValueError, match="this model translates"):
        learner.translate(batch.images)
    with pytest.raises(ValueError, match="this model translates"):
        learner.translate_back(batch.sources)


def numbered(first: int, count: int) -> Tensor:
    """Images that are recognised by their only pixel."""
    return torch.arange(first, first + count, dtype=DOUBLE)[:, None, None, None]


@pytest.mark.parametrize("batch", [1, 4, 7])
def test_the_pool_fills_and_then_swaps_half_of_all_images_for_random_old_ones(batch: int) -> None:
    torch.manual_seed(0)
    size, rounds = 20, 1500
    memory: dict[str, Tensor] = {}
    first = 0
    while first < size:
        images = numbered(first, batch)
        assert torch.equal(exchange(memory, "pool", images, size), images), "nothing is swapped while the pool fills"
        first += batch
    assert torch.equal(memory["pool"].flatten(), torch.arange(size, dtype=DOUBLE))
    assert int(memory["pool_filled"]) == size

    swaps, hits = 0, torch.zeros(size, dtype=DOUBLE)
    for _ in range(rounds):
        before, images = memory["pool"].clone(), numbered(first, batch)
        shown = exchange(memory, "pool", images, size)
        first += batch
        swapped = shown.flatten() != images.flatten()
        places = (memory["pool"] != before).flatten().nonzero().flatten()
        assert len(places) == int(swapped.sum()), "each swapped image takes one place, and no other changes"
        assert set(shown[swapped].flatten().tolist()) == set(before[places].flatten().tolist())
        assert set(memory["pool"][places].flatten().tolist()) == set(images[swapped].flatten().tolist())
        swaps += len(places)
        hits[places] += 1.0
    total = rounds * batch
    assert abs(swaps - total / 2) < 4.5 * sqrt(total) / 2  # 4.5 standard deviations of a fair coin
    expected = swaps / size
    statistic = float(((hits - expected).square() / expected).sum())
    assert statistic < 50.8  # chi-square, 19 degrees of freedom: 1 in 10,000 (less spread where places differ)


def test_the_batch_that_fills_the_pool_swaps_nothing_and_the_rest_of_it_is_not_kept() -> None:
    memory: dict[str, Tensor] = {}
    exchange(memory, "pool", numbered(0, 3), 5)
    assert torch.equal(exchange(memory, "pool", numbered(3, 4), 5), numbered(3, 4))
    assert torch.equal(memory["pool"], numbered(0, 5))


def test_pools_are_the_micro_batchs_own_and_keep_their_shapes() -> None:
    learner, batch = cyclegan(PAIRS, pool_size=6), pairs_of(4, PAIRS)
    memory: dict[str, Tensor] = {}
    learner_signal = {phase.name: phase.signal for phase in learner.phases}["critics"]
    from_nothing = signal_of(learner, "critics", batch)
    shapes = []
    for _ in range(3):
        torch.manual_seed(3)
        learner_signal(batch, Context(Moment(), 0, 0, memory))
        shapes.append({name: tuple(value.shape) for name, value in memory.items()})
    assert (
        shapes[0]
        == shapes[2]
        == {
            "pool_of_images": (6, 1, 8, 8),
            "pool_of_images_filled": (),
            "pool_of_sources": (6, 3, 8, 8),
            "pool_of_sources_filled": (),
        }
    )
    assert not any(value.requires_grad for value in memory.values())
    assert signal_of(learner, "critics", batch).value == from_nothing.value, "the learner itself remembers nothing"
    with pytest.raises(ValueError, match=r"pool_size is 3, and a micro-batch has 4 images: choose a pool of at"):
        signal_of(cyclegan(PAIRS, pool_size=3), "critics", batch)


def test_the_papers_networks_have_the_papers_sizes() -> None:
    source = SourceSpec(channels=3, height=256, width=256, paired=False)
    data = DataSpec(channels=3, height=256, width=256, source=source)
    with torch.device("meta"):
        learner = CycleGANConfig().build(data)
        assert learner.generators["images"](torch.zeros(1, 3, 256, 256)).shape == (1, 3, 256, 256)
        assert learner.critics["images"](torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    layers = [m for m in learner.generators["images"].modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in layers] == [64, 128, 256, *[256] * 18, 128, 64, 3]
    assert [layer.kernel_size[0] for layer in layers] == [7, *[3] * 22, 7]
    convolutions = sum(prod(layer.weight.shape) for layer in layers)
    others = 3 + 2 * sum(layer.out_channels for layer in layers[:-1])  # a bias at the end, scales and shifts
    assert sum(p.numel() for p in learner.generators["images"].parameters()) == convolutions + others == 11_383_427


def test_the_learning_rate_falls_to_zero_over_the_second_half() -> None:
    for name in ("cyclegan-8", "cyclegan-28", "cyclegan-256"):
        config = preset(name)
        images = config.training.images
        for player in cyclegan(ALIKE, schedule=config.model.schedule).players.values():
            factors = [player.schedule.factor(Moment(samples_seen=int(s * images))) for s in (0.0, 0.5, 0.75, 1.0)]
            assert factors == pytest.approx([1.0, 1.0, 0.5, 0.0])


def test_data_that_does_not_suit_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="no sources: import it with them"):
        CycleGANConfig().build(DataSpec(channels=1, height=8, width=8))
    smaller = SourceSpec(channels=1, height=4, width=8)
    with pytest.raises(ValueError, match=r"sources are 4 x 8 and images 8 x 8 pixels.*same size"):
        CycleGANConfig().build(DataSpec(channels=1, height=8, width=8, source=smaller))
    with pytest.raises(ValueError, match=r"identity_weight is 5.0: sources of 3 and images of 1 channels"):
        CycleGANConfig(identity_weight=5.0, patch_size=16).build(PAIRS)
    with pytest.raises(ValueError, match=r"8 x 8 pixels can't be halved 3 times.*model.num_halvings"):
        CycleGANConfig(num_halvings=3, patch_size=16).build(PAIRS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patch_size", 2),
        ("cycle_weight", -1.0),
        ("identity_weight", float("inf")),
        ("pool_size", -1),
        ("num_halvings", -1),
        ("num_blocks", 0),
        ("initial_std", 0.0),
        ("ema_decay", 1.0),
    ],
)
def test_wrong_settings_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"model\.{field} is {value}"):
        CycleGANConfig(**{field: value})  # type: ignore[arg-type]
