"""What the networks of a DCGAN are, refuse, and give back."""

import copy
from dataclasses import replace
from typing import get_args

import pytest
import torch
from gan_cases import DOUBLE, GREY, TINY, batch_of, learner_of, signal_of
from torch import nn

from gen_dist.capabilities import Decodes, Samples, capabilities
from gen_dist.models.gan.dcgan import DCGANConfig
from gen_dist.models.gan.game import GameConfig
from gen_dist.models.gan.unconditional import UnconditionalGAN
from gen_dist.nn.normalization import Normalization
from gen_dist.nn.resample import num_halvings
from gen_dist.presets import PRESETS
from gen_dist.types import DataSpec, Moment, to_signed


def test_batch_norm_with_gradient_penalty_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r'critic_normalization is "batch".*other images.*choose "group"'):
        replace(TINY, game=GameConfig(objective="wasserstein-gp"), critic_normalization="batch")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latent_dim", 0),
        ("generator_channels", 0),
        ("critic_channels", -1),
        ("base_size", 0),
        ("initial_std", float("nan")),
        ("ema_decay", 1.0),
    ],
)
def test_wrong_settings_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"model\.{field} is {value}"):
        replace(TINY, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("height", "width", "smallest", "halvings"),
    [(8, 8, 4, 1), (8, 8, 2, 2), (28, 28, 4, 2), (32, 32, 4, 3), (64, 64, 4, 4), (48, 48, 4, 3), (32, 64, 4, 3)],
)
def test_sizes(height: int, width: int, smallest: int, halvings: int) -> None:
    assert num_halvings(height, width, smallest) == halvings
    data = DataSpec(channels=3, height=height, width=width)
    learner = learner_of(replace(TINY, base_size=smallest), data)
    images = learner.sample(2)
    assert images.shape == (2, 3, height, width)
    assert images.dtype == torch.uint8
    assert learner.critic(to_signed(images, DOUBLE)).shape == (2, 1)
    base = [layer for layer in learner.generator if isinstance(layer, nn.Unflatten)]
    assert base[0].unflattened_size[1:] == (height >> halvings, width >> halvings)


@pytest.mark.parametrize(("height", "width"), [(27, 27), (30, 30), (36, 36), (4, 4), (7, 7), (32, 36), (100, 100)])
def test_impossible_sizes_are_refused_with_those_that_work(height: int, width: int) -> None:
    """30 and 36 have an odd side after one halving, 100 after two, and 4 has none to halve."""
    with pytest.raises(ValueError, match=rf"{height} x {width} pixels.*8, 10, 12, 14, 16, 20, 24, 28, 32.*base_size"):
        learner_of(DCGANConfig(), DataSpec(channels=1, height=height, width=width))


def test_every_size_that_the_message_names_works() -> None:
    with pytest.raises(ValueError, match="sides that work") as caught:
        num_halvings(27, 27, 4)
    sizes = str(caught.value).split("are ")[1].split(" and")[0].split(", ")
    assert all(num_halvings(int(size), int(size), 4) >= 1 for size in sizes)


def test_sizes_of_the_paper() -> None:
    """1024, 512, 256, 128 channels at 4, 8, 16, 32 pixels (figure 1), counted by hand; on no device at all."""
    with torch.device("meta"):
        learner = PRESETS["dcgan-64"].build().model.build(DataSpec(channels=3, height=64, width=64))
    assert isinstance(learner, UnconditionalGAN)
    projection = 100 * 1024 * 16 + 2 * 1024
    doublings = sum(16 * c * c // 2 + c for c in (1024, 512, 256))  # batch norm: gain and offset of c/2 channels
    assert sum(p.numel() for p in learner.generator.parameters()) == projection + doublings + 16 * 128 * 3 + 3
    halvings = sum(16 * c * c // 2 + 2 * c for c in (256, 512, 1024))
    assert sum(p.numel() for p in learner.critic.parameters()) == 16 * 3 * 128 + 128 + halvings + 16 * 1024 + 1


@pytest.mark.parametrize(("name", "parameters"), [("dcgan-8", 75_362), ("dcgan-28", 672_578)])
def test_small_presets_stay_small(name: str, parameters: int) -> None:
    size = int(name.rpartition("-")[2])
    with torch.device("meta"):
        learner = PRESETS[name].build().model.build(DataSpec(channels=1, height=size, width=size))
    assert sum(p.numel() for p in learner.parameters()) == parameters


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith(("dcgan", "wgan"))])
def test_presets_fit_their_size(name: str) -> None:
    size = int(name.rpartition("-")[2])
    with torch.device("meta"):
        learner = PRESETS[name].build().model.build(DataSpec(channels=1, height=size, width=size))
    assert list(learner.players) == ["critic", "generator"]


def test_initial_weights_have_the_deviation_that_was_asked_for() -> None:
    learner = learner_of(replace(TINY, latent_dim=64, generator_channels=32, critic_channels=32, initial_std=0.02))
    layers = [m for m in learner.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 6
    for layer in layers:
        # A deviation of n numbers has a relative standard error of sqrt(1 / 2n): five of them.
        assert layer.weight.std().item() == pytest.approx(0.02, rel=5 * (2 * layer.weight.numel()) ** -0.5)


def test_he_initialisation_keeps_the_scale_of_signals() -> None:
    """A layer's output has twice the mean square of its input, of which the ReLU then leaves half."""
    learner = learner_of(DCGANConfig(initial_std=None), DataSpec(channels=3, height=16, width=16))
    layers = [m for m in learner.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 6
    for layer in layers:
        signal = (
            torch.randn(4096, layer.in_features, dtype=DOUBLE)
            if isinstance(layer, nn.Linear)
            else torch.randn(64, layer.in_channels, 16, 16, dtype=DOUBLE)
        )
        with torch.no_grad():
            output = layer(signal)
        output = output[..., 1:-1, 1:-1] if output.ndim == 4 else output  # at the border taps fall outside
        # The mean of n squared weights has a relative standard error of sqrt(2 / n): five of them. The signal is white.
        tolerance = 5 * (2 / layer.weight.numel()) ** 0.5
        assert output.square().mean().item() == pytest.approx(2.0, rel=tolerance + 0.02)


def test_samples_are_a_function_of_the_seed_and_leave_the_learner_as_it_was() -> None:
    learner = learner_of(TINY)
    assert isinstance(learner, Samples)
    assert isinstance(learner, Decodes)
    assert capabilities(learner) == ("samples", "decodes")
    state = copy.deepcopy(learner.state_dict())
    draws = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        draws.append(learner.sample(4))
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])
    assert learner.training
    assert all(value.equal(state[key]) for key, value in learner.state_dict().items())


def test_temperature_scales_the_latent() -> None:
    learner = learner_of(TINY)
    torch.manual_seed(5)
    latents = learner.draw_latents(4)
    torch.manual_seed(5)
    assert learner.sample(4, temperature=0.5).equal(learner.decode(0.5 * latents))
    cold = learner.sample(4, temperature=0.0)
    assert cold.equal(cold[:1].expand_as(cold))
    with pytest.raises(ValueError, match="leave condition out"):
        learner.sample(4, condition=torch.zeros(4, dtype=torch.int64))


def test_standing_statistics_are_the_plain_mean_over_fresh_batches() -> None:
    """The first batch norm follows the projection: its statistics can be computed from the noise alone."""
    learner = learner_of(TINY)
    norms = [layer for layer in learner.generator if isinstance(layer, nn.BatchNorm2d)]
    norms[0].running_mean.fill_(100.0)  # type: ignore[union-attr]
    momentum = norms[0].momentum
    batches = [batch_of(16)] * 3
    torch.manual_seed(7)
    noise = [learner.draw_latents(16) for _ in batches]
    torch.manual_seed(7)
    learner.eval()
    learner.finalise(batches)
    with torch.no_grad():
        outputs = [learner.generator[1](learner.generator[0](z)) for z in noise]
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in outputs]).mean(dim=0)
    variance = torch.stack([x.var(dim=(0, 2, 3)) for x in outputs]).mean(dim=0)
    torch.testing.assert_close(norms[0].running_mean, mean, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(norms[0].running_var, variance, rtol=1e-10, atol=1e-12)
    assert norms[0].momentum == momentum
    assert not learner.generator.training
    before = copy.deepcopy(learner.state_dict())
    learner.finalise([])
    assert all(value.equal(before[key]) for key, value in learner.state_dict().items())


@pytest.mark.parametrize("normalization", get_args(Normalization))
def test_a_copy_and_a_reloaded_learner_make_the_same_images(normalization: Normalization) -> None:
    config = replace(TINY, generator_normalization=normalization, critic_normalization=normalization)
    learner = learner_of(config)
    signal_of(learner, "critic", batch_of(6))  # moves buffers away from where they start
    twin = copy.deepcopy(learner)
    torch.manual_seed(99)
    reloaded = config.build(GREY).double()
    state = learner.state_dict()
    reloaded.load_state_dict(state)
    storages = [value.data_ptr() for value in state.values()]
    assert len(set(storages)) == len(storages), "safetensors refuses tensors that two names share"
    images = []
    for one in (learner, twin, reloaded):
        assert isinstance(one, UnconditionalGAN)
        torch.manual_seed(5)
        images.append(one.sample(4))
        assert one.phases[0].signal.__self__ is one  # type: ignore[attr-defined]
    assert images[0].equal(images[1])
    assert images[0].equal(images[2])


@pytest.mark.parametrize("normalization", ["batch", "spectral"])
def test_memory_format_changes_nothing(normalization: Normalization) -> None:
    config = replace(TINY, critic_normalization=normalization)
    plain, batch = learner_of(config), batch_of(6)
    striped = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    striped_batch = batch.to(torch.device("cpu"), torch.channels_last)
    for phase in ("critic", "generator"):
        gradients = []
        for learner, images in ((plain, batch), (striped, striped_batch)):
            signal = signal_of(learner, phase, images)
            signal.deposit(learner.active(phase, Moment()), 1.0)
            gradients.append([p.grad for p in learner.active(phase, Moment())])
        for one, other in zip(*gradients, strict=True):
            # Another order of summation in float64.
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalization", ["group", "spectral", "none"])
def test_the_penalty_under_autocast_agrees_with_float32(normalization: Normalization) -> None:
    config = replace(TINY, game=GameConfig(objective="wasserstein-gp"), critic_normalization=normalization)
    learner = learner_of(config, dtype=torch.float32)
    batch = batch_of(16)
    exact = signal_of(copy.deepcopy(learner), "critic", batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = signal_of(learner, "critic", batch)
    assert rough.value.dtype == torch.float32
    # Only the generated images differ, by bfloat16's 2^-8 per operation over six layers.
    torch.testing.assert_close(rough.metrics["penalty"], exact.metrics["penalty"], rtol=0.03, atol=0.0)
    rough.deposit(learner.active("critic", Moment()), 1.0)
    for parameter in learner.critic.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("normalization", ["group", "spectral", "none"])
def test_a_round_under_autocast_on_a_gpu(normalization: Normalization) -> None:
    """Torch's spectral normalisation mixes dtypes under CUDA's autocast, which only a GPU can show."""
    device = torch.device("cuda")
    config = replace(TINY, game=GameConfig(objective="wasserstein-gp"), critic_normalization=normalization)
    learner = learner_of(config, dtype=torch.float32).to(device)
    batch = batch_of(16).to(device)
    for phase in ("critic", "generator"):
        with torch.autocast("cuda", torch.bfloat16):
            signal = signal_of(learner, phase, batch)
        parameters = learner.active(phase, Moment())
        signal.deposit(parameters, 1.0)
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in parameters)
