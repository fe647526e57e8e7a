"""BigGAN in float64: its sizes, where its latents go, what its critic scores, and what is regularised."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from biggan_cases import DOUBLE, GREY, TINY, biggan_of, labelled_batch
from torch import Tensor, nn

from gen_dist.capabilities import Conditions, Decodes, Samples, Truncates, capabilities
from gen_dist.learner import Context, Loss
from gen_dist.losses.orthogonality import filter_overlap
from gen_dist.models.gan.biggan import BigGAN, BigGANConfig
from gen_dist.models.gan.game import GameConfig
from gen_dist.presets import preset
from gen_dist.types import DataSpec, Moment, to_signed

IMAGENET = tuple(str(label) for label in range(1000))


def signal_of(learner: BigGAN, phase: str, num: int = 6, seed: int = 3) -> Loss:
    torch.manual_seed(seed)
    signal = {p.name: p.signal for p in learner.phases}[phase](labelled_batch(num), Context(Moment(), 0, 0, {}))
    assert isinstance(signal, Loss)
    return signal


def sizes(config: BigGANConfig, side: int, class_names: tuple[str, ...] = IMAGENET) -> tuple[int, int]:
    """Parameters of generator and critic, counted on no device at all."""
    with torch.device("meta"):
        learner = config.build(DataSpec(channels=3, height=side, width=side, class_names=class_names))
    generator, critic = ([p.numel() for p in network.parameters()] for network in (learner.generator, learner.critic))
    return sum(generator), sum(critic)


def model_of(name: str) -> BigGANConfig:
    model = preset(name).model
    assert isinstance(model, BigGANConfig)
    return model


def test_sizes_of_the_paper() -> None:
    """ImageNet at 128 x 128, to the last parameter.

    google/compare_gan asserts the first pair (architectures/resnet_biggan_test.py); an author's notes in
    ajbrock/BigGAN-PyTorch have all of them, there without the generator's shared embedding.
    """
    paper, embedding = model_of("biggan-128"), 1000 * 128
    assert paper == BigGANConfig()
    assert sizes(paper, 128) == (70_433_988, 87_982_370)
    narrow = replace(paper, generator_channels=64, critic_channels=64)
    assert sizes(narrow, 128) == (31_850_628 + embedding, 39_448_258)
    # The row without skip-z has a latent of 128, which enters whole.
    whole = replace(paper, hierarchical=False, latent_dim=128)
    assert sizes(whole, 128)[0] == 72_664_516 + embedding


def test_sizes_of_the_other_presets() -> None:
    """What ours count. At 64 x 64 another implementation of the authors' code states the same."""
    assert sizes(model_of("biggan-64"), 64) == (70_377_348, 45_511_970)
    assert sizes(model_of("biggan-32"), 32, tuple("0123456789")) == (4_373_251, 4_207_361)


@pytest.mark.parametrize("name", ["biggan-8", "biggan-28", "biggan-32", "biggan-64", "biggan-128"])
def test_every_preset_plays_as_the_paper_does(name: str) -> None:
    model = model_of(name)
    assert model.game == GameConfig(objective="hinge", critic_updates=2)
    for optimizer in (model.generator_optimizer, model.critic_optimizer):
        assert optimizer.betas == (0.0, 0.999)  # type: ignore[union-attr]
    assert model.orthogonal_weight == 1e-4
    assert model.hierarchical
    if name in ("biggan-32", "biggan-64", "biggan-128"):
        assert (model.generator_optimizer.learning_rate, model.critic_optimizer.learning_rate) == (5e-5, 2e-4)
        assert model.ema_decay == 0.9999


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_a_chunk_of_the_latent_reaches_its_own_block_first(chunk: int) -> None:
    learner = biggan_of()
    learner.eval()
    latents = learner.draw_latents(4)
    changed = latents.clone()
    changed[:, 2 * chunk : 2 * chunk + 2] += 1.0
    seen: list[list[Tensor]] = []
    for index, block in enumerate(learner.generator.blocks):
        # What a block is given: features from below, and its condition, the class before its own chunk.
        block.register_forward_hook(lambda _module, inputs, _output, i=index: seen.append([torch.tensor(i), *inputs]))
    learner.generator(latents)
    learner.generator(changed)
    for (index, features, condition), (_, other, others) in zip(seen[:2], seen[2:], strict=True):
        block_chunk = int(index) + 1
        assert condition[:, 4:].equal(latents[:, 2 * block_chunk : 2 * block_chunk + 2])
        assert condition[:, :4].equal(latents[:, 6:])
        assert condition.equal(others) == (chunk != block_chunk)
        assert features.equal(other) == (chunk >= block_chunk)  # blocks below chunk's own know nothing of it


def test_a_latent_that_is_not_hierarchical_enters_whole_at_the_bottom() -> None:
    learner = biggan_of(replace(TINY, hierarchical=False))
    assert learner.generator.projection.in_features == 6
    seen: list[Tensor] = []
    for block in learner.generator.blocks:
        block.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[1]))
    latents = learner.draw_latents(4)
    learner.generator(latents)
    assert all(condition.equal(latents[:, 6:]) for condition in seen)


def test_the_score_is_a_projection() -> None:
    """Miyato and Koyama 2018: v . h + b + e(class) . h, h summed over places, every weight over its largest value."""
    learner = biggan_of()
    critic = learner.critic.eval()
    assert critic.embedding is not None
    batch = labelled_batch(6)
    images, labels = to_signed(batch.images, DOUBLE), batch.labels
    assert labels is not None
    features = critic.blocks(images).relu()
    for row, (label, score) in enumerate(zip(labels.tolist(), critic(images, labels).tolist(), strict=True)):
        summed = features[row].sum(dim=(1, 2))
        expected = (critic.linear.weight[0] + critic.embedding.weight[label]) @ summed + critic.linear.bias[0]
        assert score == pytest.approx(expected.item(), rel=1e-10)


def test_without_classes_the_latent_alone_conditions_and_the_critic_projects_nothing() -> None:
    data = replace(GREY, class_names=())
    learner = biggan_of(replace(TINY, class_conditional=False), data)
    assert learner.condition_kind == "none"
    assert learner.generator.embedding is None
    assert learner.critic.embedding is None
    assert learner.draw_latents(2).shape == (2, 6)
    assert learner.sample(2).shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match="unconditional"):
        learner.sample(2, condition=torch.zeros(2, dtype=torch.int64))


def test_signals_are_the_game_between_images_of_the_same_classes() -> None:
    """Both losses, put together again from the networks' outputs for the same noise: hinge, beta, and labels."""
    learner = biggan_of(replace(TINY, orthogonal_weight=0.01)).eval()  # so that no vector moves between two passes
    batch = labelled_batch(6)
    assert batch.labels is not None
    torch.manual_seed(3)
    fake = learner.generator(learner.generator.with_classes(torch.randn(6, 6, dtype=DOUBLE), batch.labels))
    real_scores = learner.critic(to_signed(batch.images, DOUBLE), batch.labels)
    fake_scores = learner.critic(fake, batch.labels)
    signal = signal_of(learner, "critic")
    expected = (1.0 - real_scores).relu().mean() + (1.0 + fake_scores).relu().mean()
    torch.testing.assert_close(signal.value, expected, rtol=1e-12, atol=0.0)
    signal = signal_of(learner, "generator")
    weights = [
        parameter
        for name, parameter in learner.generator.named_parameters()
        if parameter.ndim > 1 and name != "embedding.weight"
    ]
    assert all(name.endswith("original") for name, p in learner.generator.named_parameters() if p in set(weights))
    overlap = filter_overlap(weights)
    torch.testing.assert_close(signal.value, 0.01 * overlap - fake_scores.mean(), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(signal.metrics["filter_overlap"], overlap.detach(), rtol=1e-12, atol=0.0)
    assert signal.metrics["loss"].equal(signal.value.detach())
    assert {"singular_value_1", "singular_value_2"} <= signal.metrics.keys()


def test_the_critic_learns_from_images_that_leave_the_generator_clean() -> None:
    learner = biggan_of()
    for name, other in (("critic", learner.generator), ("generator", learner.critic)):
        learner.zero_grad(set_to_none=True)
        signal_of(learner, name).deposit(learner.active(name, Moment()), 1.0)
        assert all(parameter.grad is None for parameter in other.parameters())
        for key, parameter in learner.players[name].module.named_parameters():
            assert parameter.grad is not None, key


def test_training_never_truncates() -> None:
    learner = biggan_of()
    torch.manual_seed(3)
    expected = signal_of(copy.deepcopy(learner), "generator").value
    assert signal_of(copy.deepcopy(learner).truncated(0.1), "generator").value.equal(expected)


def test_truncation_cuts_the_latent_and_leaves_the_learner_as_it_was() -> None:
    learner = biggan_of()
    assert isinstance(learner, Truncates)
    images = []
    for one in (learner, learner.truncated(math.inf)):
        torch.manual_seed(5)
        images.append(one.sample(64))
    assert images[0].equal(images[1])
    view = learner.truncated(0.3)
    torch.manual_seed(5)
    latents = view.draw_latents(64)
    assert latents[:, :6].abs().max() <= 0.3
    assert latents[:, :6].abs().max() > 0.25
    assert learner.draw_latents(64)[:, :6].abs().max() > 1.0
    torch.manual_seed(5)
    assert view.sample(64).equal(view.decode(latents))
    assert all(a is b for a, b in zip(learner.parameters(), view.parameters(), strict=True))
    for threshold in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="threshold is"):
            learner.truncated(threshold)


def test_temperature_scales_the_truncated_latent_and_no_class() -> None:
    learner = biggan_of().truncated(0.5)
    torch.manual_seed(5)
    latents = learner.draw_latents(4)
    latents[:, :6] *= 0.25
    torch.manual_seed(5)
    assert learner.sample(4, temperature=0.25).equal(learner.decode(latents))


def test_it_draws_the_classes_that_it_is_asked_for() -> None:
    learner = biggan_of()
    assert isinstance(learner, Conditions | Samples | Decodes)
    assert learner.condition_kind == "label"
    assert capabilities(learner) == ("samples", "decodes", "truncates")
    assert learner.generator.embedding is not None
    labels = torch.tensor([2, 0, 2, 1])
    torch.manual_seed(5)
    images = learner.sample(4, condition=labels)
    torch.manual_seed(5)
    noise = torch.randn(4, 6, dtype=DOUBLE)
    expected = learner.decode(torch.cat([noise, learner.generator.embedding.weight.detach()[labels]], dim=1))
    assert images.equal(expected)
    with pytest.raises(ValueError, match="integers from 0 to 2"):
        learner.sample(1, condition=torch.tensor([3]))


def test_standing_statistics_are_of_the_classes_in_the_batches() -> None:
    """The first normalisation follows the projection: its statistics can be computed from the noise alone."""
    learner = biggan_of()
    batches = [labelled_batch(16)] * 3
    torch.manual_seed(7)
    noise = [torch.randn(16, 6, dtype=DOUBLE) for _ in batches]
    torch.manual_seed(7)
    learner.finalise(batches)
    learner.eval()
    norm = learner.generator.blocks[0].first_norm.norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    outputs = [learner.generator.projection(z[:, :2]).unflatten(1, learner.generator.base) for z in noise]
    # The projection has as many outputs as 2 x 2 places of 8 channels, but an orthogonal start: its norm stands still.
    expected = torch.stack(outputs).mean(dim=(0, 1, 3, 4))
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-9, atol=1e-12)
    seen: list[Tensor] = []
    embedding = learner.generator.embedding
    assert embedding is not None
    embedding.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    learner.finalise(batches[:1])
    assert batches[0].labels is not None
    assert seen[0].equal(batches[0].labels)


def test_attention_stands_where_it_was_asked_for() -> None:
    data = DataSpec(channels=3, height=32, width=16, class_names=GREY.class_names)
    config = replace(TINY, attention_size=16)
    learner = biggan_of(config, data)
    sizes_seen: list[tuple[str, int]] = []
    for name, module in learner.named_modules():
        if type(module).__name__ == "SelfAttention":
            module.register_forward_hook(lambda _m, _i, output, n=name: sizes_seen.append((n, output.shape[2])))
    images = learner.sample(2)
    assert images.shape == (2, 3, 32, 16)
    learner.critic(to_signed(images, DOUBLE), torch.tensor([0, 1]))
    assert [(name.split(".")[0], size) for name, size in sizes_seen] == [("generator", 16), ("critic", 16)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 7}, r"latent_dim is 7: .*3 equal chunks.*hierarchical to False"),
        ({"hierarchical": False, "class_conditional": False}, "nothing to be conditioned on"),
        ({"generator_multipliers": (2,)}, r"generator_multipliers is \(2,\): give at least 2"),
        ({"critic_multipliers": (2, 0)}, r"critic_multipliers is \(2, 0\)"),
        ({"critic_halvings": 4}, r"critic_multipliers is \(1, 2, 2\): give at least 4"),
        ({"orthogonal_weight": -1.0}, r"orthogonal_weight is -1\.0"),
        ({"ema_decay": 1.0}, r"ema_decay is 1\.0"),
        ({"num_singular_values": 0}, "num_singular_values is 0"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_images_that_do_not_suit_are_refused_with_what_does() -> None:
    with pytest.raises(ValueError, match=r"class_conditional is True.*without labels"):
        TINY.build(replace(GREY, class_names=()))
    with pytest.raises(ValueError, match=r"10 x 8 pixels.*halved 2 times.*multiples of 4.*generator_multipliers"):
        TINY.build(replace(GREY, height=10))
    with pytest.raises(ValueError, match=r"attention_size is 8: .*choose from \[4\]"):
        replace(TINY, attention_size=8).build(GREY)
