"""pix2pix in float64: how far its critic sees, what its generator depends on, who moves by what, super-resolution."""

import pytest
import torch
from torch import nn
from translation_cases import (
    DOUBLE,
    ENLARGED,
    PAIRS,
    pairs_of,
    pix2pix,
    signal_of,
    with_positive_weights,
    without_normalization,
)

from gen_dist.capabilities import Samples, Translates
from gen_dist.losses.adversarial import critic_loss, generator_loss
from gen_dist.models.gan.pix2pix import Pix2PixConfig
from gen_dist.nn.patch import PATCH_HALVINGS, patch_critic
from gen_dist.nn.resample import pixel_shuffle_doubling
from gen_dist.nn.unet import UNet, unet_depth
from gen_dist.types import DataSpec, ImageBatch, Moment, SourceSpec, to_signed


@pytest.mark.parametrize("patch_size", PATCH_HALVINGS)
def test_a_patch_is_as_large_as_it_is_called(patch_size: int) -> None:
    """By arithmetic over the layers, and by the support of one score's gradient."""
    side = patch_size + 60
    critic = patch_critic(1, 1, patch_size, height=side, width=side).double()
    seen = 1
    for layer in reversed([layer for layer in critic if isinstance(layer, nn.Conv2d)]):
        seen = seen * layer.stride[0] + layer.kernel_size[0] - layer.stride[0]
    assert seen == patch_size

    with_positive_weights(without_normalization(critic))
    image = torch.rand(1, 1, side, side, dtype=DOUBLE, requires_grad=True)
    scores = critic(image)
    middle = scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2]
    (gradient,) = torch.autograd.grad(middle, image)
    rows, columns = (gradient[0, 0].abs().sum(dim=dim).nonzero().flatten() for dim in (1, 0))
    assert (len(rows), len(columns)) == (patch_size, patch_size)
    assert int(rows[-1] - rows[0]) == patch_size - 1
    assert int((gradient != 0).sum()) == patch_size**2


def test_the_papers_networks_have_the_papers_sizes() -> None:
    data = DataSpec(channels=3, height=256, width=256, source=SourceSpec(channels=3, height=256, width=256))
    with torch.device("meta"):
        learner = Pix2PixConfig().build(data)
        image = torch.zeros(1, 6, 256, 256)
        assert learner.critic(image).shape == (1, 1, 30, 30)
    sizes = [sum(p.numel() for p in part.parameters()) for part in (learner.generator, learner.critic)]
    assert sizes == [54_414_531, 2_768_705]
    widths = [layer[0].out_channels for layer in learner.generator[0].encoder]
    assert widths == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [layer.dropout for layer in learner.generator[0].decoder] == [0.5] * 3 + [0.0] * 5
    encoder = learner.generator[0].encoder
    assert [isinstance(layer[1], nn.InstanceNorm2d) for layer in encoder] == [False, *[True] * 6, False]


@pytest.mark.parametrize(("side", "depth"), [(2, 1), (7, 2), (8, 3), (13, 3), (28, 4), (32, 5)])
def test_every_pixel_of_a_unet_depends_on_every_pixel_of_the_source(side: int, depth: int) -> None:
    assert unet_depth(side, side) == unet_depth(side, 3 * side) == depth
    network = UNet(2, 1, features=1, depth=depth, dropout=0.0).double()
    with_positive_weights(without_normalization(network))
    image = torch.rand(1, 2, side, side, dtype=DOUBLE, requires_grad=True)
    output = network(image)
    assert output.shape == (1, 1, side, side)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1), (side // 2, side // 3)):
        (gradient,) = torch.autograd.grad(output[0, 0, row, column], image, retain_graph=True)
        assert (gradient > 0).all()


def test_a_unet_keeps_detail_that_its_bottleneck_loses() -> None:
    """With the bottleneck silenced, what passes by the skips still depends on the source."""
    network = UNet(1, 1, features=4, depth=3, dropout=0.0).double()
    with torch.no_grad():
        for parameter in network.encoder[-1].parameters():
            parameter.zero_()
    first, second = (torch.rand(1, 1, 8, 8, dtype=DOUBLE) for _ in range(2))
    assert not torch.equal(network(first), network(second))
    with torch.no_grad():
        for layer in network.decoder[1:]:
            half = layer.convolution.weight.shape[0] // 2
            layer.convolution.weight[half:].zero_()  # the half that reads the skip
    assert torch.equal(network(first), network(second))


@pytest.mark.parametrize(("height", "width"), [(5, 9), (12, 20), (3, 28)])
def test_a_unet_keeps_any_size(height: int, width: int) -> None:
    network = UNet(1, 3, features=2, depth=unet_depth(height, width), dropout=0.5)
    assert network(torch.zeros(2, 1, height, width)).shape == (2, 3, height, width)


def test_dropout_is_the_noise_at_test_time_as_well() -> None:
    sources = pairs_of(4, PAIRS).sources
    assert sources is not None
    for dropout, drawn in ((0.5, 2), (0.0, 1)):
        learner = pix2pix(dropout=dropout).eval()
        outputs = set()
        for seed in (0, 1, 0):
            torch.manual_seed(seed)
            outputs.add(learner.translate(sources).numpy().tobytes())
        assert len(outputs) == drawn
    assert isinstance(learner, Translates)
    assert not isinstance(learner, Samples)


def test_pixel_shuffle_makes_blocks_of_every_four_channels() -> None:
    """Shi et al.: pixel (2i + a, 2j + b) of channel c is channel 4c + 2a + b at (i, j)."""
    doubling = pixel_shuffle_doubling(3, 2).double()
    values = torch.randn(2, 3, 5, 4, dtype=DOUBLE)
    before, after = doubling[0](values), doubling(values)
    assert after.shape == (2, 2, 10, 8)
    for c in range(2):
        for a in range(2):
            for b in range(2):
                assert torch.equal(after[:, c, a::2, b::2], before[:, 4 * c + 2 * a + b])


@pytest.mark.parametrize("data", [PAIRS, ENLARGED], ids=["same size", "four times larger"])
@pytest.mark.parametrize("objective", ["non-saturating", "least-squares"])
def test_signals_are_the_objective_of_the_scores(objective: str, data: DataSpec) -> None:
    learner, batch = pix2pix(data, objective=objective, l1_weight=7.0), pairs_of(3, data)
    assert batch.sources is not None
    sources, images = to_signed(batch.sources, DOUBLE), to_signed(batch.images, DOUBLE)
    torch.manual_seed(3)
    outputs = learner.generator(sources).detach()
    condition = sources.repeat_interleave(8 // data.source.height, 2).repeat_interleave(8 // data.source.width, 3)
    real, fake = (learner.critic(torch.cat([condition, shown], 1)).flatten() for shown in (images, outputs))

    signal = signal_of(learner, "critic", batch)
    torch.testing.assert_close(signal.value, critic_loss(objective, real, fake) / 2, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(signal.metrics["fake_score"], fake.mean(), rtol=1e-12, atol=1e-15)
    signal = signal_of(learner, "generator", batch)
    l1 = (outputs - images).abs().mean()
    expected = generator_loss(objective, fake) + 7.0 * l1
    torch.testing.assert_close(signal.value, expected, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(signal.metrics["l1"], l1, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("data", [PAIRS, ENLARGED], ids=["same size", "four times larger"])
def test_a_phase_moves_its_player_whole_and_nobody_else(data: DataSpec) -> None:
    learner = pix2pix(data)
    for name, other in (("critic", learner.generator), ("generator", learner.critic)):
        learner.zero_grad(set_to_none=True)
        signal_of(learner, name, pairs_of(6, data)).deposit(learner.active(name, Moment()), 0.5)
        assert all(parameter.grad is None for parameter in other.parameters())
        for key, parameter in learner.players[name].module.named_parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 1e-10, f"{key} of the {name} never moves"


def test_the_critic_looks_at_the_source() -> None:
    learner, batch = pix2pix(), pairs_of(4, PAIRS)
    assert batch.sources is not None
    right, wrong = (
        signal_of(learner, "critic", ImageBatch(images=batch.images, sources=sources)).metrics["real_score"]
        for sources in (batch.sources, batch.sources.flip(0))
    )
    assert right != wrong


def test_data_that_does_not_suit_is_refused_with_what_to_do() -> None:
    alone = DataSpec(channels=1, height=8, width=8)
    with pytest.raises(ValueError, match=r"no sources: import it with them"):
        Pix2PixConfig(patch_size=16).build(alone)
    unpaired = SourceSpec(channels=1, height=8, width=8, paired=False)
    with pytest.raises(ValueError, match=r"learns from pairs.*train a cyclegan preset"):
        Pix2PixConfig(patch_size=16).build(DataSpec(channels=1, height=8, width=8, source=unpaired))
    for height, width in ((16, 16), (4, 8), (3, 3), (8, 4)):
        source = SourceSpec(channels=1, height=height, width=width)
        with pytest.raises(ValueError, match=rf"sources are {height} x {width} and images 8 x 8 pixels"):
            Pix2PixConfig(patch_size=16).build(DataSpec(channels=1, height=8, width=8, source=source))
    with pytest.raises(ValueError, match=r"model.patch_size is 70.*8 x 8 are too small for it; choose 1, 16"):
        Pix2PixConfig().build(PAIRS)
    with pytest.raises(ValueError, match=r"sources are \(1, 8, 8\).*this model translates \(3, 8, 8\)"):
        pix2pix().translate(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patch_size", 71),
        ("l1_weight", -1.0),
        ("dropout", 1.0),
        ("initial_std", 0.0),
        ("ema_decay", 1.0),
        ("generator_channels", 0),
        ("critic_channels", 0),
    ],
)
def test_wrong_settings_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"model\.{field} is {value}"):
        Pix2PixConfig(**{field: value})  # type: ignore[arg-type]
