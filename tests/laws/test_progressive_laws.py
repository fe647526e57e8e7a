"""The progressive GAN, in float64: how it grows and fades, and what keeps its layers at one scale."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gen_dist.learner import Context, Loss
from gen_dist.losses.penalties import gradient_penalty
from gen_dist.models.gan.game import GameConfig
from gen_dist.models.gan.growing_networks import (
    GrowingCritic,
    GrowingGenerator,
    Growth,
    double,
    halve,
)
from gen_dist.models.gan.progressive import Progressive, ProgressiveConfig
from gen_dist.presets import preset
from gen_dist.training.curriculum import Curriculum
from gen_dist.types import DataSpec, ImageBatch, Moment, to_signed

DOUBLE = torch.float64
WIDE = DataSpec(channels=3, height=16, width=24)  # 4x6, 8x12, 16x24
TINY = ProgressiveConfig(latent_dim=5, generator_channels=4, critic_channels=4, max_channels=6)
STAGES = 3


def learner_of(config: ProgressiveConfig = TINY, data: DataSpec = WIDE) -> Progressive:
    torch.manual_seed(1)
    learner = config.build(data).double()
    with torch.no_grad():  # biases start at zero, where a bias that is left out would not show
        for parameter in learner.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return learner


def batch_of(num: int) -> ImageBatch:
    generator = torch.Generator().manual_seed(2)
    return ImageBatch(images=torch.randint(0, 256, (num, *WIDE.shape), dtype=torch.uint8, generator=generator))


def moment_of(stage: int, progress: float) -> Moment:
    return Moment(stage=stage, stage_progress=progress, stages_left=STAGES - 1 - stage)


def signal_of(learner: Progressive, phase: str, moment: Moment, num: int = 8) -> Loss:
    torch.manual_seed(3)
    signals = {p.name: p.signal for p in learner.phases}
    signal = signals[phase](batch_of(num), Context(moment, 0, 0, {}))
    assert isinstance(signal, Loss)
    return signal


@pytest.mark.parametrize(
    ("moment", "growth"),
    [
        (moment_of(0, 0.0), Growth(0)),
        (moment_of(0, 0.9), Growth(0)),
        (moment_of(1, 0.0), Growth(1, 0.0)),
        (moment_of(1, 0.125), Growth(1, 0.25)),
        (moment_of(1, 0.5), Growth(1)),
        (moment_of(2, 0.25), Growth(2, 0.5)),
        (moment_of(2, 1.0), Growth(2)),
        (Moment(), Growth(2)),  # without stages: full size from the start
        (Moment(stage=0, stages_left=1), Growth(1)),  # two stages: half of full size first, and nothing to fade from
        (Moment(stage=1, stages_left=4), Growth(0)),  # more stages than sizes: the first ones share the smallest
        (Moment(stage=2, stages_left=2), Growth(0)),
    ],
)
def test_the_moment_decides_size_and_fade(moment: Moment, growth: Growth) -> None:
    assert learner_of().growth_at(moment) == growth


def test_without_a_share_for_it_nothing_fades() -> None:
    assert learner_of(replace(TINY, fade_share=0.0)).growth_at(moment_of(1, 0.0)) == Growth(1)
    assert learner_of(replace(TINY, fade_share=1.0)).growth_at(moment_of(1, 0.75)) == Growth(1, 0.75)


@pytest.mark.parametrize("level", [1, 2])
def test_fading_goes_from_the_level_below_to_the_new_one(level: int) -> None:
    """Bit for bit at both ends, so that nothing jumps when a stage begins or its fade ends; linear between them."""
    learner = learner_of()
    latents = learner.draw_latents(4)
    below, above = learner.generator(latents, Growth(level - 1)), learner.generator(latents, Growth(level))
    assert above.shape == (4, 3, 4 << level, 6 << level)
    assert torch.equal(learner.generator(latents, Growth(level, 0.0)), double(below))
    assert torch.equal(
        learner.generator(latents, Growth(level, math.nextafter(1.0, 0.0))).round(decimals=12), above.round(decimals=12)
    )
    torch.testing.assert_close(learner.generator(latents, Growth(level, 0.25)), 0.75 * double(below) + 0.25 * above)


@pytest.mark.parametrize("level", [1, 2])
def test_a_critic_that_has_not_faded_in_sees_the_image_halved(level: int) -> None:
    learner = learner_of()
    images = torch.randn(4, 3, 4 << level, 6 << level, dtype=DOUBLE)
    assert torch.equal(learner.critic(images, Growth(level, 0.0)), learner.critic(halve(images), Growth(level - 1)))
    alone, faded = learner.critic(images, Growth(level)), learner.critic(images, Growth(level, 1.0 - 1e-13))
    torch.testing.assert_close(faded, alone)
    assert not torch.allclose(learner.critic(images, Growth(level, 0.5)), alone)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_real_images_are_averaged_down_and_faded_like_generated_ones(level: int) -> None:
    learner, images = learner_of(), batch_of(3).images
    factor = 1 << (2 - level)
    blocks = to_signed(images, DOUBLE).unflatten(3, (-1, factor)).unflatten(2, (-1, factor))
    small = blocks.mean(dim=(3, 5))
    torch.testing.assert_close(learner.real_images(images, Growth(level)), small)
    if level:
        coarse = small.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5))
        coarse = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        for fade in (0.0, 0.3, 0.8):
            expected = (1 - fade) * coarse + fade * small
            torch.testing.assert_close(learner.real_images(images, Growth(level, fade)), expected)


def test_at_the_start_of_a_stage_the_critic_scores_as_at_the_end_of_the_one_before() -> None:
    """Real images and generated ones: the loss is the same function of what is learned so far."""
    learner, images = learner_of(), batch_of(4).images
    latents = learner.draw_latents(4)
    for level in (1, 2):
        new, old = Growth(level, 0.0), Growth(level - 1)
        for before, after in (
            (learner.real_images(images, old), learner.real_images(images, new)),
            (learner.generator(latents, old), learner.generator(latents, new)),
        ):
            # Halving pixels that are equal in fours may round in the last place.
            torch.testing.assert_close(learner.critic(after, new), learner.critic(before, old), atol=1e-13, rtol=0)


@pytest.mark.parametrize("phase", ["critic", "generator"])
@pytest.mark.parametrize(("stage", "progress"), [(0, 0.5), (1, 0.2), (1, 0.7), (2, 0.3), (2, 1.0)])
def test_exactly_the_active_parameters_get_a_gradient(phase: str, stage: int, progress: float) -> None:
    """So an optimizer never moves a layer that is not there yet, by its momentum or otherwise."""
    learner, moment = learner_of(), moment_of(stage, progress)
    active = learner.active(phase, moment)
    signal_of(learner, phase, moment).value.backward()  # to everything that the loss depends on
    module = learner.players[phase].module
    reached = {name for name, p in module.named_parameters() if p.grad is not None}
    assert reached == {name for name, p in module.named_parameters() if any(p is one for one in active)}
    assert all(float(p.grad.abs().max()) > 0 for p in active if p.grad is not None)
    assert len({id(p) for p in active}) == len(active)


def test_only_the_active_parameters_are_deposited_to() -> None:
    learner, moment = learner_of(), moment_of(1, 0.2)
    signal_of(learner, "critic", moment).deposit(learner.active("critic", moment), 0.5)
    assert all(parameter.grad is None for parameter in learner.generator.parameters())
    fading = {n for n, p in learner.critic.named_parameters() if n.startswith("from_image") and p.grad is not None}
    assert fading == {f"from_image.{level}.0.{kind}" for level in (0, 1) for kind in ("weight", "bias")}


def test_the_generator_normalises_after_every_convolution_but_the_last() -> None:
    learner = learner_of()
    seen: list[Tensor] = []
    for level in learner.generator.levels:
        level.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    learner.generator(learner.draw_latents(3), Growth(2))
    for features in seen:
        torch.testing.assert_close(features.square().mean(dim=1), torch.ones_like(features[:, 0]), atol=1e-5, rtol=0)


def test_one_images_deviation_depends_on_its_group_alone() -> None:
    learner, growth = learner_of(replace(TINY, group_size=2)), Growth(0)
    images = torch.randn(4, 3, 4, 6, dtype=DOUBLE)
    changed = images.clone()
    changed[1] += 1.0
    same = (learner.critic(images, growth) - learner.critic(changed, growth)).abs() < 1e-12
    assert same.tolist() == [True, False, True, False]


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_the_critic_minimises_wasserstein_distance_penalty_and_drift(weight: float) -> None:
    """Put together again from scores for the same noise (appendix A.1: E[D(x)^2] of real images)."""
    learner = learner_of(replace(TINY, game=GameConfig(objective="wasserstein-gp", drift_weight=weight)))
    moment = moment_of(1, 0.2)
    growth = learner.growth_at(moment)
    signal = signal_of(learner, "critic", moment)
    torch.manual_seed(3)
    with torch.no_grad():
        fake = learner.generator(learner.draw_latents(8), growth)
    real = learner.real_images(batch_of(8).images, growth)
    real_scores, fake_scores = learner.critic(real, growth), learner.critic(fake, growth)
    penalty = gradient_penalty(lambda images: learner.critic(images, growth), real, fake)
    expected = fake_scores.mean() - real_scores.mean() + 10.0 * penalty + weight * real_scores.square().mean()
    torch.testing.assert_close(signal.value, expected)
    assert ("drift" in signal.metrics) == bool(weight)
    if weight:
        torch.testing.assert_close(signal.metrics["drift"], real_scores.detach().square().mean())
    assert (learner.critic.score.bias is None) == (weight == 0.0), "without drift the last bias would never move"


def test_latents_lie_on_a_sphere_and_only_their_direction_counts() -> None:
    learner = learner_of()
    latents = learner.draw_latents(6)
    torch.testing.assert_close(latents.norm(dim=1), torch.full((6,), math.sqrt(5), dtype=DOUBLE), atol=1e-6, rtol=0)
    growth = Growth(2)
    torch.testing.assert_close(
        learner.generator(3.0 * latents, growth), learner.generator(latents, growth), atol=1e-6, rtol=1e-6
    )
    with pytest.raises(ValueError, match=r"temperature is 0\.5: latents of progressive lie on a sphere"):
        learner.sample(2, temperature=0.5)
    with pytest.raises(ValueError, match="without a condition"):
        learner.sample(2, condition=torch.zeros(2))


@pytest.mark.parametrize(("stage", "progress"), [(0, 0.5), (1, 0.125), (2, 0.9)])
def test_a_copy_without_a_clock_draws_what_it_has_grown_to_at_full_size(stage: int, progress: float) -> None:
    learner, moment = learner_of(), moment_of(stage, progress)
    learner.stop_clock(moment)
    other = learner_of()
    other.load_state_dict(learner.state_dict())  # as a bundle does
    latents = learner.draw_latents(3)
    growth = learner.growth_at(moment)
    images = learner.generator(latents, growth).repeat_interleave(16 // (4 << growth.level), dim=2)
    images = images.repeat_interleave(16 // (4 << growth.level), dim=3)
    expected = ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    assert expected.shape == (3, *WIDE.shape)
    assert torch.equal(learner.decode(latents), expected)
    assert torch.equal(other.decode(latents), expected)


def test_the_networks_of_the_paper_have_its_number_of_parameters() -> None:
    """Table 2: 23.1 million each at 1024x1024, with 512 to 16 features; the layers for smaller images left out."""
    with torch.device("meta"):
        learner = preset("progressive-1024").model.build(DataSpec(channels=3, height=1024, width=1024))
        assert isinstance(learner, Progressive)
        images = learner.generator(torch.empty(2, 512), Growth(8))
        assert images.shape == (2, 3, 1024, 1024)
        assert learner.critic(images, Growth(8)).shape == (2,)
    for player in ("generator", "critic"):
        count = sum(parameter.numel() for parameter in learner.active(player, Moment()))
        assert round(count / 1e6, 1) == 23.1, player
    assert [layer[0].weight.shape[0] for layer in learner.critic.from_image] == [512] * 4 + [256, 128, 64, 32, 16]


def test_the_papers_curriculum_shrinks_its_batches() -> None:
    """Appendix A.1: 800,000 images at 4x4, as many to fade each size in and as many with it alone; 16 images a step."""
    training = preset("progressive-1024").training
    assert [stage.images for stage in training.stages] == [800_000] + [1_600_000] * 8
    assert [span.batch_size for span in Curriculum(training).spans] == [16] * 6 + [14, 6, 3]


@pytest.mark.parametrize("name", ["progressive-8", "progressive-28", "progressive-32", "progressive-1024"])
def test_a_preset_has_a_stage_for_each_size(name: str) -> None:
    config, size = preset(name), int(name.rsplit("-", 1)[1])
    with torch.device("meta"):
        learner = config.model.build(DataSpec(channels=1, height=size, width=size))
    assert isinstance(learner, Progressive)
    assert len(config.training.stages) == learner.num_doublings + 1


def test_settings_that_can_not_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.fade_share is 1\.5: it must lie in \[0, 1\]"):
        replace(TINY, fade_share=1.5)
    with pytest.raises(ValueError, match=r"model\.group_size is 0"):
        replace(TINY, group_size=0)
    with pytest.raises(ValueError, match="images of 9 x 9 pixels can't be halved evenly"):
        TINY.build(DataSpec(channels=1, height=9, width=9))


def test_networks_are_mirror_images() -> None:
    learner = learner_of()
    assert isinstance(learner.generator, GrowingGenerator)
    assert isinstance(learner.critic, GrowingCritic)
    made = [layer.weight.shape[1] for layer in learner.generator.to_image]
    read = [layer[0].weight.shape[0] for layer in learner.critic.from_image]
    assert made == read == [6, 6, 4]
