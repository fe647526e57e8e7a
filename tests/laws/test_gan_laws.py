"""Adversarial learners, in float64: who is moved by what, on which images, and what a constraint really holds."""

import copy
import itertools
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from gen_dist.learner import Context, Decodes, Loss, Samples, capabilities
from gen_dist.losses.adversarial import Objective, critic_accuracy, critic_loss, generator_loss
from gen_dist.models.gan.dcgan import DCGAN, DCGANConfig, diversity
from gen_dist.nn.normalization import Normalization, constrained, needs_bias, normalization_layer
from gen_dist.nn.resample import num_halvings
from gen_dist.presets import PRESETS
from gen_dist.types import DataSpec, ImageBatch, Moment, to_signed

DOUBLE = torch.float64
GREY = DataSpec(channels=1, height=8, width=8)
TINY = DCGANConfig(latent_dim=5, generator_channels=8, critic_channels=8, base_size=2, initial_std=None)
GAMES = [
    pytest.param(objective, critic, generator, id=f"{objective}, critic {critic}, generator {generator}")
    for objective, critic in itertools.product(get_args(Objective), get_args(Normalization))
    for generator in ("batch", "group", "spectral", "none")
    if not (objective == "wasserstein-gp" and critic == "batch") and (generator == "batch" or objective == "hinge")
]


def learner_of(config: DCGANConfig, data: DataSpec = GREY, dtype: torch.dtype = DOUBLE) -> DCGAN:
    torch.manual_seed(1)
    learner = config.build(data)
    assert isinstance(learner, DCGAN)
    return learner.to(dtype)


def batch_of(num: int, data: DataSpec = GREY) -> ImageBatch:
    generator = torch.Generator().manual_seed(2)
    return ImageBatch(images=torch.randint(0, 256, (num, *data.shape), dtype=torch.uint8, generator=generator))


def signal_of(learner: DCGAN, phase: str, batch: ImageBatch, seed: int = 3) -> Loss:
    torch.manual_seed(seed)
    signals = {p.name: p.signal for p in learner.phases}
    signal = signals[phase](batch, Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    return signal


@pytest.mark.parametrize(("objective", "critic", "generator"), GAMES)
def test_a_phase_moves_its_player_whole_and_nobody_else(
    objective: Objective, critic: Normalization, generator: Normalization
) -> None:
    config = replace(TINY, objective=objective, critic_normalization=critic, generator_normalization=generator)
    learner = learner_of(config)
    assert [phase.name for phase in learner.phases] == ["critic", "generator"]
    for name, other in (("critic", learner.generator), ("generator", learner.critic)):
        learner.zero_grad(set_to_none=True)
        parameters = learner.active(name, Moment())
        signal_of(learner, name, batch_of(6)).deposit(parameters, 0.5)
        assert all(parameter.grad is None for parameter in other.parameters())
        for key, parameter in learner.players[name].module.named_parameters():
            assert parameter.grad is not None
            if objective == "hinge" and key == f"{len(learner.critic) - 1}.bias":
                continue  # while all images are inside the margin, the real ones push the last bias up as others down
            # Rounding leaves about 1e-17 where mathematics says zero; a real gradient here is above 1e-6.
            assert parameter.grad.abs().max() > 1e-10, f"{key} of the {name} never moves"


def test_players_share_nothing_and_own_everything() -> None:
    learner = learner_of(TINY)
    owned = [p for player in learner.players.values() for p in player.module.parameters()]
    assert len({id(p) for p in owned}) == len(owned) == len(list(learner.parameters()))
    assert list(learner.players) == ["critic", "generator"]
    assert learner.players["critic"].ema_decay is None
    assert learner.players["generator"].ema_decay == TINY.ema_decay


@pytest.mark.parametrize("updates", [1, 2, 5])
def test_the_critic_moves_k_times(updates: int) -> None:
    phases = {phase.name: phase for phase in learner_of(replace(TINY, critic_updates=updates)).phases}
    assert phases["critic"].repeats_at(Moment(round=7)) == updates
    assert phases["generator"].repeats_at(Moment(round=7)) == 1


def test_real_and_generated_images_pass_the_critic_apart_and_the_generator_runs_once() -> None:
    """Batch statistics of a mixed batch would tell the critic how many of each there are."""
    learner, batch = learner_of(TINY), batch_of(6)
    seen: list[Tensor] = []
    made: list[Tensor] = []
    learner.critic.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    learner.generator.register_forward_hook(lambda _module, _inputs, output: made.append(output))
    signal_of(learner, "critic", batch)
    real, fake = seen
    assert real.equal(to_signed(batch.images, DOUBLE))
    assert len(made) == 1
    assert fake.equal(made[0])
    assert not made[0].requires_grad, "the critic's phase must not keep the generator's graph"


@pytest.mark.parametrize("objective", get_args(Objective))
def test_signals_are_the_objective_of_the_scores(objective: Objective) -> None:
    """Loss and metrics, put together again from the networks' outputs for the same noise."""
    config = replace(TINY, objective=objective, critic_normalization="none", generator_normalization="none")
    learner, batch = learner_of(config), batch_of(6)
    torch.manual_seed(3)
    with torch.no_grad():
        fake = learner.generator(torch.randn(6, 5, dtype=DOUBLE))
        real = to_signed(batch.images, DOUBLE)
        real_scores, fake_scores = learner.critic(real)[:, 0], learner.critic(fake)[:, 0]
    shares = critic_accuracy(objective, real_scores, fake_scores)
    expected = {
        "loss": critic_loss(objective, real_scores, fake_scores),
        "real_score": real_scores.mean(),
        "fake_score": fake_scores.mean(),
        "real_accuracy": shares[0],
        "fake_accuracy": shares[1],
        "real_diversity": diversity(real),
        "fake_diversity": diversity(fake),
    }
    signal = signal_of(learner, "critic", batch)
    metrics = dict(signal.metrics)
    if objective == "wasserstein-gp":
        expected["penalty"] = metrics["penalty"]  # its own laws are in tests/unit/test_adversarial_losses.py
        expected["loss"] = expected["loss"] + config.penalty_weight * metrics["penalty"]
        assert metrics["penalty"] > 0.0
    assert metrics.keys() == expected.keys()
    assert not any(value.requires_grad for value in metrics.values())
    for name, value in expected.items():
        torch.testing.assert_close(metrics[name], value, rtol=1e-12, atol=0.0)

    signal = signal_of(learner, "generator", batch)
    assert signal.metrics.keys() == {"loss"}
    torch.testing.assert_close(signal.value, generator_loss(objective, fake_scores), rtol=1e-12, atol=1e-15)


def test_the_critics_step_is_plain_gradient_descent_on_its_loss() -> None:
    """Directional derivative of the whole critic signal, penalty included, by central differences."""
    config = replace(TINY, objective="wasserstein-gp", critic_normalization="group")
    learner, batch = learner_of(config), batch_of(4)
    parameters = learner.active("critic", Moment())
    signal_of(learner, "critic", batch).deposit(parameters, 1.0)
    directions = [torch.randn_like(parameter) for parameter in parameters]
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, directions, strict=True) if p.grad is not None)
    step, values = 1e-5, []
    for sign in (1.0, -1.0):
        moved = copy.deepcopy(learner)
        with torch.no_grad():
            for parameter, direction in zip(moved.active("critic", Moment()), directions, strict=True):
                parameter.add_(direction, alpha=sign * step)
        values.append(signal_of(moved, "critic", batch).value.item())
    assert isinstance(slope, Tensor)
    # The step's square, 1e-10, times third derivatives; a leaky kink inside the step could cost a little more.
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope.item(), rel=1e-4)


@pytest.mark.parametrize("normalization", get_args(Normalization))
def test_clipping_is_a_projection_of_the_critic_alone(normalization: Normalization) -> None:
    config = replace(TINY, objective="wasserstein-clip", clip_value=0.05, critic_normalization=normalization)
    learner = learner_of(config)
    before = copy.deepcopy(learner)
    learner.settle("generator", {})
    assert all(a.equal(b) for a, b in zip(learner.parameters(), before.parameters(), strict=True))
    learner.settle("critic", {})
    for old, new in zip(before.critic.parameters(), learner.critic.parameters(), strict=True):
        assert new.equal(torch.where(old > 0.05, 0.05, torch.where(old < -0.05, -0.05, old)))
    assert all(a.equal(b) for a, b in zip(learner.generator.parameters(), before.generator.parameters(), strict=True))
    once = copy.deepcopy(learner)
    learner.settle("critic", {})
    assert all(a.equal(b) for a, b in zip(learner.parameters(), once.parameters(), strict=True))


@pytest.mark.parametrize("objective", [o for o in get_args(Objective) if o != "wasserstein-clip"])
def test_no_other_objective_clips(objective: Objective) -> None:
    learner = learner_of(replace(TINY, objective=objective, critic_normalization="none", clip_value=1e-6))
    before = copy.deepcopy(learner)
    learner.settle("critic", {})
    assert all(a.equal(b) for a, b in zip(learner.parameters(), before.parameters(), strict=True))


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d, nn.ConvTranspose2d], ids=lambda kind: kind.__name__)
def test_spectral_norm_divides_by_the_largest_singular_value(kind: type[nn.Module]) -> None:
    layer = nn.Linear(7, 12) if kind is nn.Linear else kind(6, 8, 4)
    assert isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    layer = layer.double()
    outputs = 1 if kind is nn.ConvTranspose2d else 0
    with torch.no_grad():
        layer.weight.select(outputs, 0).mul_(10.0)  # one singular value stands out, so that the iteration converges
    raw = layer.weight.detach().clone()
    largest = torch.linalg.svdvals(raw.transpose(0, outputs).flatten(1))[0]
    constrained("spectral", layer)
    for _ in range(100):
        weight = layer.weight
    # The error falls by the square of the ratio of the two largest singular values (here below 0.5) every time.
    torch.testing.assert_close(weight.detach(), raw / largest, rtol=1e-12, atol=0.0)


def test_spectral_norm_is_kept_in_float32_under_autocast() -> None:
    layer = constrained("spectral", nn.Linear(32, 32))
    assert isinstance(layer, nn.Linear)
    for _ in range(300):
        expected = layer.weight.detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.weight.dtype == torch.float32
        torch.testing.assert_close(layer.weight.detach(), expected)


def test_a_spectrally_normalised_critic_is_one_lipschitz_per_layer() -> None:
    learner = learner_of(replace(TINY, critic_normalization="spectral"))
    for _ in range(500):
        learner.critic(torch.zeros(1, 1, 8, 8, dtype=DOUBLE))
    layers = [layer for layer in learner.critic if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (16, 1), (24, 3), (128, 8), (7, 7)])
def test_groups_have_sixteen_channels_where_that_divides(channels: int, groups: int) -> None:
    layer = normalization_layer("group", channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups
    assert not needs_bias("group")


@pytest.mark.parametrize("kind", ["batch", "group"])
def test_a_normalised_critic_sees_its_batch_only_with_batch_norm(kind: Normalization) -> None:
    """Why the penalty refuses batch norm: with it, one image's score moves when another image does."""
    critic = learner_of(replace(TINY, critic_normalization=kind)).critic.train()
    images = torch.randn(4, 1, 8, 8, dtype=DOUBLE)
    changed = torch.cat([images[:3], torch.randn(1, 1, 8, 8, dtype=DOUBLE)])
    assert (kind == "group") == torch.allclose(critic(images)[:3], critic(changed)[:3], rtol=1e-12)


def test_batch_norm_with_gradient_penalty_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r'critic_normalization is "batch".*other images.*choose "group"'):
        replace(TINY, objective="wasserstein-gp", critic_normalization="batch")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("critic_updates", 0),
        ("latent_dim", 0),
        ("generator_channels", 0),
        ("critic_channels", -1),
        ("base_size", 0),
        ("penalty_weight", 0.0),
        ("clip_value", float("inf")),
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
    assert isinstance(learner, DCGAN)
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
        assert isinstance(one, DCGAN)
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
    config = replace(TINY, objective="wasserstein-gp", critic_normalization=normalization)
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
    config = replace(TINY, objective="wasserstein-gp", critic_normalization=normalization)
    learner = learner_of(config, dtype=torch.float32).to(device)
    batch = batch_of(16).to(device)
    for phase in ("critic", "generator"):
        with torch.autocast("cuda", torch.bfloat16):
            signal = signal_of(learner, phase, batch)
        parameters = learner.active(phase, Moment())
        signal.deposit(parameters, 1.0)
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in parameters)
