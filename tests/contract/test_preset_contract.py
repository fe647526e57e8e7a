"""What every preset owes the training loop: who moves, what is configured, what is drawn, how a batch may be cut."""

from pathlib import Path

import pytest
import torch
from contract.small_presets import (
    ENDLESS,
    FULL_NAMES,
    NAMES,
    NAMES_8,
    MadeUpImages,
    advance,
    everything,
    narrow,
    settings,
    spec_of,
    start,
    weights,
    without_noise,
)

from gen_dist.capabilities import (
    CAPABILITIES,
    BuildsOn,
    Classifies,
    Conditions,
    Encodes,
    EstimatesPartition,
    Samples,
    Translates,
)
from gen_dist.config import RunConfig
from gen_dist.data.storage import open_storage
from gen_dist.models.table import family_of
from gen_dist.presets import PRESETS, preset
from gen_dist.sampling.draw import draw_samples
from gen_dist.sampling.translate import translations
from gen_dist.training.checkpoint import capture, read_checkpoint, restore, write_checkpoint
from gen_dist.training.round import step_phase
from gen_dist.training.training import Training

_IN_THE_MARGIN = "inside the hinge's margin real and generated images push it equally, and oppositely"
# Parameters that stay where they start, by preset, each with its reason.
STILL: dict[str, dict[str, str]] = {
    "projection-gan-28": {"critic.score.bias": _IN_THE_MARGIN},
    "hinge-28": {"critic.6.bias": _IN_THE_MARGIN},
    **{
        f"progressive-{size}": {
            f"{layer}.{kind}": "belongs to a smaller size: without stages a run has full size from the start"
            for level in range(num_doublings)
            for layer in (f"generator.to_image.{level}", f"critic.from_image.{level}.0")
            for kind in ("weight", "bias")
        }
        for size, num_doublings in ((8, 1), (28, 2), (32, 3))
    },
}
# Parameters of families that may stand still for a while, each with its reason.
EITHER: dict[str, dict[str, str]] = {
    "BigGANConfig": {"critic.linear.bias": _IN_THE_MARGIN},
}
# What must change before a loss is a mean over images: batch statistics mix images, steps of a size that suits a whole
# batch do so too, and the rest is noise that `without_noise` does not still.
SEPARABLE: dict[str, dict[str, object]] = {
    "DCGANConfig": {"generator_normalization": "group", "critic_normalization": "none"},
    "ConditionalGANConfig": {"generator_normalization": "group"},
    "OriginalGANConfig": {"input_dropout": 0.0, "hidden_dropout": 0.0},
    "ResNetGANConfig": {"generator_normalization": "group"},
    "BigGANConfig": {"generator_normalization": "group"},
    "ProgressiveConfig": {"group_size": 1},
    "ConvNetConfig": {"dropout": 0.0, "max_shift": 0},
    "PixelCNNPlusPlusConfig": {"dropout": 0.0},
    "RealNVPConfig": {"normalization": "act"},
    "Pix2PixConfig": {"dropout": 0.0},
    "FFJORDConfig": {"solver": "rk4", "num_steps": 2},
}
# Families whose loss compares the images of a micro-batch with one another: parts have fewer others to compare with.
COMPARING = {"MatcherConfig", "TextToImageConfig"}
# Families, or single presets, whose loss draws nothing.
NOISELESS = {
    "MADEConfig",
    "nade-8",
    "nade-28",
    "autoencoder-8",
    "autoencoder-28",
    "autoencoder-linear-8",
    "PixelCNNConfig",
    "PixelRNNConfig",
    "GatedPixelCNNConfig",
    "MultiScaleConfig",
    "VQVAEConfig",
    "CodePriorConfig",
}


def step_once(training: Training, index: int) -> None:
    moment = training.moment
    step_phase(
        training.state,
        index,
        lambda repeat, m: training._draw(moment, repeat, m),
        moment,
        0,
        settings=training._round_settings,
        world=training.world,
        meters=training._meters,
    )


def frozen(training: Training) -> set[str]:
    """Weights of the first model of a two-stage family."""
    return {name for name, parameter in training.state.learner.named_parameters() if not parameter.requires_grad}


def either(name: str) -> set[str]:
    """Weights that may move or stay."""
    return set(EITHER.get(type(preset(name).model).__name__, {}))


@pytest.mark.parametrize("name", FULL_NAMES)
def test_the_configuration_survives_json(name: str) -> None:
    config = preset(name)
    assert RunConfig.from_json(config.to_json()) == config
    assert RunConfig.from_json(narrow(config).to_json()) == narrow(config) != config


@pytest.mark.parametrize("name", FULL_NAMES)
def test_the_full_network_fits_the_images_that_it_is_for(name: str) -> None:
    assert PRESETS[name].name == name
    with torch.device("meta"):  # shapes only: the largest would take seconds to initialise
        full = preset(name).model.build(spec_of(name))
    owned = [parameter for player in full.players.values() for parameter in player.module.parameters()]
    frozen = {id(p) for p in full.first_stage.parameters()} if isinstance(full, BuildsOn) else set()
    assert {id(parameter) for parameter in owned} | frozen == {id(parameter) for parameter in full.parameters()}
    assert len({id(parameter) for parameter in owned}) == len(owned)
    assert {phase.player for phase in full.phases} == set(full.players)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_can_do_is_written_in_its_class(name: str) -> None:
    """From Python 3.12 on `isinstance` with a protocol sees neither submodules nor buffers."""
    with torch.device("meta"):
        learner = preset(name).model.build(spec_of(name))
    for protocol in (BuildsOn, Conditions, EstimatesPartition, *(protocol for _, protocol in CAPABILITIES)):
        members = [member for member in vars(protocol) if not member.startswith("_")]
        if all(hasattr(learner, member) for member in members):
            assert all(hasattr(type(learner), member) for member in members), protocol


@pytest.mark.parametrize("name", NAMES)
def test_a_phase_moves_its_player_and_no_other(name: str) -> None:
    training = start(name)
    training.start()
    for index, phase in enumerate(training.state.phases):
        before, averages = weights(training), {n: t.clone() for n, t in training.state.ema.weights.items()}
        step_once(training, index)
        mine = {id(parameter) for parameter in training.state.players[phase.player].module.parameters()}
        for parameter_name, parameter in training.state.learner.named_parameters():
            if parameter_name in either(name):
                continue
            moved = not torch.equal(parameter, before[parameter_name])
            still = parameter_name in STILL.get(name, {}) or not parameter.requires_grad
            expected = id(parameter) in mine and not still
            assert moved == expected, (phase.name, parameter_name)
            if parameter_name in averages:
                followed = not torch.equal(training.state.ema.weights[parameter_name], averages[parameter_name])
                assert followed == expected, (phase.name, parameter_name)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_keeps_moving(name: str) -> None:
    training = advance(start(name))
    before = weights(training)
    advance(training)
    now = weights(training)
    unmoved = {parameter for parameter in before if torch.equal(before[parameter], now[parameter])} - either(name)
    assert unmoved == set(STILL.get(name, {})) | frozen(training)
    assert all(tensor.isfinite().all() for tensor in everything(training).values())


@pytest.mark.parametrize("name", NAMES_8)
def test_the_8x8_presets_train_as_they_are(name: str) -> None:
    """At full width and with their own loop settings, but for the number of images."""
    config = preset(name)
    stream = start(name).stream
    training = Training(config.model, settings(batch_size=config.training.batch_size), config.seed, stream)
    before = weights(training)
    advance(training, 2)
    now = weights(training)
    assert all(tensor.isfinite().all() for tensor in now.values())
    still = {parameter for parameter in before if torch.equal(before[parameter], now[parameter])}
    assert still == set(STILL.get(name, {})) | frozen(training)


@pytest.mark.parametrize("name", NAMES)
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, name: str) -> None:
    """In the preset's own precision and memory layout, with more than one micro-batch."""
    own = preset(name).training
    how = {"precision": own.precision, "channels_last": own.channels_last, "fused": own.fused, "num_micro_batches": 2}
    uninterrupted = advance(start(name, **how), 4)
    killed = advance(start(name, **how), 2)
    storage = open_storage(tmp_path)
    key = write_checkpoint(storage, capture(killed, config="{}", data_digest="d", evaluations=[]))
    resumed = start(name, **how)
    restore(resumed, read_checkpoint(storage, key))
    advance(resumed, 2)
    expected, found = everything(uninterrupted), everything(resumed)
    assert expected.keys() == found.keys()
    for entry, tensor in expected.items():
        assert torch.equal(found[entry], tensor), entry
    assert any(not torch.equal(tensor, everything(killed)[entry]) for entry, tensor in expected.items())


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_images_of_the_data_and_the_same_seed_draws_them_again(name: str) -> None:
    pixel_by_pixel = family_of(preset(name).model).kind == "autoregressive"
    spec = spec_of(name, 8) if pixel_by_pixel else spec_of(name)  # a large image would take a minute
    learner = advance(start(name, spec=spec), 2).evaluation_copy()
    if isinstance(learner, Translates):
        sources = MadeUpImages(spec).take(0, 3).sources
        first = translations(learner, sources, seed=1)
        assert first.shape == (3, *spec.shape)
        assert first.dtype == torch.uint8
        assert torch.equal(translations(learner, sources, seed=1), first)
        return
    if not isinstance(learner, Samples):
        if isinstance(learner, Encodes):
            assert len(learner.encode(torch.zeros(2, *spec.shape, dtype=torch.uint8))) == 2
            return
        assert isinstance(learner, Classifies), "a learner that neither draws, encodes nor classifies is of no use"
        assert learner.logits(torch.zeros(2, *spec.shape, dtype=torch.uint8)).shape == (2, spec.num_classes)
        return
    first = draw_samples(learner, 3, seed=1)
    torch.manual_seed(99)  # what else the process does must not matter
    assert first.shape == (3, *spec.shape)
    assert first.dtype == torch.uint8
    assert torch.equal(draw_samples(learner, 3, seed=1), first)
    assert not torch.equal(draw_samples(learner, 3, seed=2), first)


@pytest.mark.parametrize("name", [name for name in NAMES if type(preset(name).model).__name__ not in COMPARING])
def test_micro_batches_without_noise_and_batch_statistics_are_the_whole_batch(name: str) -> None:
    separable = SEPARABLE.get(type(preset(name).model).__name__, {})
    whole, parts = (start(name, double=True, model=separable, num_micro_batches=n, images=ENDLESS) for n in (1, 4))
    with without_noise():
        advance(whole)
        advance(parts)
    expected, found = weights(whole), weights(parts)
    for entry, tensor in expected.items():
        # Float64 sums in another order, which Adam's division by small moments amplifies.
        torch.testing.assert_close(found[entry], tensor, atol=1e-9, rtol=1e-9, msg=lambda said, e=entry: f"{e}: {said}")
    for row, other in zip(whole.history, parts.history, strict=True):
        losses = {key: value for key, value in row.items() if key.endswith(("/loss", "/gradient_norm"))}
        assert losses
        assert {key: other[key] for key in losses} == pytest.approx(losses, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_with_noise_each_micro_batch_draws_its_own(name: str) -> None:
    """The negative control: without the stilled noise, four micro-batches are another run, noise permitting."""
    whole, parts = (advance(start(name, double=True, num_micro_batches=n)) for n in (1, 4))
    difference = max(float((weights(parts)[n] - w).abs().max()) for n, w in weights(whole).items())
    noiseless = bool({name, type(preset(name).model).__name__} & NOISELESS)
    assert difference < 1e-9 if noiseless else difference > 1e-6
