"""The adversarial game, in float64: every option against its formula, and what it must leave alone."""

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from gen_dist.learner import Context
from gen_dist.losses.adversarial import Objective
from gen_dist.losses.penalties import PenaltyKind, perturb, slope_penalty, slopes
from gen_dist.models.gan.augmentation import Augmentation, augment, colour, cut_out, translate
from gen_dist.models.gan.game import Game, GameConfig, objective_of
from gen_dist.types import Moment

DOUBLE = torch.float64
REAL = torch.rand(6, 2, 8, 8, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)) * 2 - 1
FAKE = torch.rand(6, 2, 8, 8, dtype=DOUBLE, generator=torch.Generator().manual_seed(2)) * 2 - 1


def at(samples_seen: int = 0) -> Context:
    return Context(Moment(samples_seen=samples_seen), 0, 0, {})


def linear(norm: float) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """A linear critic, whose slope is `norm` everywhere."""
    weight = torch.randn(2, 8, 8, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    weight = (weight * (norm / weight.norm())).requires_grad_()
    return weight, lambda images: (images * weight).sum(dim=(1, 2, 3))


@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("two-sided", lambda n: (n - 1.0) ** 2),
        ("one-sided", lambda n: max(0.0, n - 1.0) ** 2),
        ("dragan", lambda n: (n - 1.0) ** 2),
        ("r1", lambda n: 0.5 * n**2),
        ("none", lambda n: 0.0),
    ],
)
def test_penalties_of_a_linear_critic(kind: PenaltyKind, formula: Callable[[float], float], norm: float) -> None:
    weight, score = linear(norm)
    penalty = slope_penalty(kind, score, REAL, FAKE)
    # The slope is the weight itself: only the order of a sum of 128 squares may differ.
    assert penalty.item() == pytest.approx(formula(norm), rel=1e-12, abs=1e-14)
    if kind == "r1":  # d/dw 1/2 |w|^2 = w
        (gradient,) = torch.autograd.grad(penalty, weight)
        torch.testing.assert_close(gradient, weight.detach(), rtol=1e-12, atol=0.0)


def test_where_each_penalty_looks() -> None:
    """The quadratic critic 1/2 |x|^2 has the slope |x|, which gives away at which images it was asked."""
    seen: list[Tensor] = []

    def score(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return 0.5 * images.square().sum(dim=(1, 2, 3))

    for kind in ("two-sided", "one-sided"):
        slope_penalty(kind, score, REAL, FAKE)
        position = (seen[-1] - FAKE) / (REAL - FAKE)  # the same for all pixels of a sample, another one for each sample
        torch.testing.assert_close(position, position[:, :1, :1, :1].expand_as(position), rtol=0.0, atol=1e-9)
        assert position[:, 0, 0, 0].unique().numel() == len(REAL)
        assert ((position > 0.0) & (position < 1.0)).all()
    assert slope_penalty("r1", score, REAL, FAKE).item() == pytest.approx(
        0.5 * REAL.square().sum(dim=(1, 2, 3)).mean().item(), rel=1e-12
    )
    assert seen[-1].equal(REAL)
    torch.testing.assert_close(slopes(score, REAL), REAL.flatten(1).norm(dim=1), rtol=1e-12, atol=0.0)


def test_dragan_looks_around_real_images_at_half_their_deviation() -> None:
    real = torch.randn(64, 1, 16, 16, dtype=DOUBLE) * 3.0 + 1.0
    noise = perturb(real) - real
    # 16,384 numbers: the mean's standard error is 0.012, that of the deviation 0.55 %; five of them.
    assert noise.mean().item() == pytest.approx(0.0, abs=0.06)
    assert noise.std().item() == pytest.approx(1.5, rel=0.04)  # and real's own deviation of 3 is known to 0.55 %
    assert not noise[0].equal(noise[1])


@pytest.mark.parametrize("kind", ["dragan", "r1"])
def test_penalties_around_real_images_do_not_see_generated_ones(kind: PenaltyKind) -> None:
    def score(images: Tensor) -> Tensor:
        return images.pow(3).sum(dim=(1, 2, 3))

    torch.manual_seed(0)
    first = slope_penalty(kind, score, REAL, FAKE)
    torch.manual_seed(0)
    assert slope_penalty(kind, score, REAL, -7.0 * FAKE).equal(first)


@pytest.mark.parametrize("kind", get_args(PenaltyKind))
def test_a_flat_critic_has_a_finite_gradient(kind: PenaltyKind) -> None:
    weight = torch.zeros(2, 8, 8, dtype=DOUBLE, requires_grad=True)
    penalty = slope_penalty(kind, lambda images: (images * weight).sum(dim=(1, 2, 3)), REAL, FAKE)
    if penalty.requires_grad:
        (gradient,) = torch.autograd.grad(penalty, weight)
        assert gradient.isfinite().all()


@pytest.mark.parametrize(("objective", "kind"), [("non-saturating", "r1"), ("wasserstein-gp", "none")])
def test_a_lazy_penalty_is_the_same_penalty(objective: Objective, kind: PenaltyKind) -> None:
    """Over `every` rounds, what the lazy phase adds up to is what the critic's own steps would have had."""
    _, score = linear(2.0)
    eager, lazy = (
        Game(GameConfig(objective=objective, penalty=kind, penalty_every=every, critic_updates=3)) for every in (1, 4)
    )
    phases = {phase.name: phase for phase in lazy.phases(*[lambda batch, context: None] * 3)}  # type: ignore[list-item]
    assert list(phases) == ["critic", "penalty", "generator"]
    assert phases["penalty"].player == "critic"
    moments = [Moment(round=number) for number in range(8)]
    steps = {name: sum(phase.repeats_at(moment) for moment in moments) for name, phase in phases.items()}
    assert steps == {"critic": 24, "penalty": 6, "generator": 8}
    assert [p.name for p in eager.phases(*[lambda batch, context: None] * 3)] == ["critic", "generator"]  # type: ignore[list-item]
    whole = eager.critic_loss(score, REAL, FAKE, at()).value * steps["critic"]
    parts = lazy.critic_loss(score, REAL, FAKE, at()).value * steps["critic"]
    parts = parts + lazy.penalty_loss(score, REAL, FAKE, at()).value * steps["penalty"]
    assert parts.item() == pytest.approx(whole.item(), rel=1e-12)  # a linear critic: the point does not matter


@pytest.mark.parametrize("objective", ["minimax", "non-saturating"])
def test_labels_are_smoothed_on_real_images_only(objective: Objective) -> None:
    """Cross entropy with the labels 0.9 and 0, written with D itself; its minimum for real scores is where D = 0.9."""
    _, score = linear(0.5)
    plain, smooth = (Game(GameConfig(objective=objective, label_smoothing=amount)) for amount in (0.0, 0.1))
    real, fake = (torch.sigmoid(score(images)) for images in (REAL, FAKE))
    cross_entropy = -(0.9 * real.log() + 0.1 * (1 - real).log()).mean() - (1 - fake).log().mean()
    assert smooth.critic_loss(score, REAL, FAKE, at()).value.item() == pytest.approx(cross_entropy.item(), rel=1e-12)
    assert smooth.generator_loss(score, REAL, FAKE, at()).value.equal(
        plain.generator_loss(score, REAL, FAKE, at()).value
    )
    best = torch.tensor(math.log(9.0), dtype=DOUBLE, requires_grad=True)
    constant = smooth.critic_loss(lambda images: best.expand(len(images)), REAL, FAKE, at()).value
    only_fake = -(1 - torch.sigmoid(best)).log()
    (slope,) = torch.autograd.grad(constant - only_fake, best)
    assert slope.item() == pytest.approx(0.0, abs=1e-12)


def test_instance_noise_fades_linearly_and_ends() -> None:
    game = Game(GameConfig(instance_noise=0.5, instance_noise_images=1000))
    images = torch.zeros(64, 1, 16, 16, dtype=DOUBLE)
    for seen, deviation in ((0, 0.5), (500, 0.25), (900, 0.05)):
        noise = game.seen(images, at(seen))
        # 16,384 numbers know their deviation to 0.55 %: five of them.
        assert noise.std().item() == pytest.approx(deviation, rel=0.03)
    for seen in (1000, 5000):
        assert game.seen(images, at(seen)) is images


def test_everything_the_critic_sees_is_noisy_and_augmented_but_diversity_is_of_the_images() -> None:
    game = Game(GameConfig(instance_noise=1.0, instance_noise_images=10, augmentation=("colour",), penalty="r1"))
    seen: list[Tensor] = []

    def score(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return images.square().sum(dim=(1, 2, 3))

    metrics = game.critic_loss(score, REAL, FAKE, at()).metrics
    real_seen, fake_seen, penalised = seen
    assert not torch.isclose(real_seen, REAL).any()
    assert not torch.isclose(fake_seen, FAKE).any()
    assert penalised.equal(real_seen)
    assert metrics["real_diversity"].equal(REAL.std(dim=0, correction=0).mean())
    game.generator_loss(score, REAL, FAKE, at())
    assert not torch.isclose(seen[-1], FAKE).any()


def test_matched_features_cost_nothing_and_others_their_distance() -> None:
    game = Game(GameConfig(feature_matching=True))

    def features(images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))

    def score(images: Tensor) -> Tensor:
        raise AssertionError("feature matching does not ask for scores")

    assert game.generator_loss(score, REAL, REAL.flip(0), at(), features).value.item() == pytest.approx(0.0, abs=1e-30)
    loss = game.generator_loss(score, REAL, REAL + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), at(), features)
    assert loss.value.item() == pytest.approx(25.0, rel=1e-12)


def test_lecam_against_its_formula_with_anchors_that_follow() -> None:
    weight, decay = 0.3, 0.9
    _, score = linear(2.0)
    game = Game(GameConfig(objective="hinge", lecam_weight=weight, lecam_decay=decay)).double()
    plain = Game(GameConfig(objective="hinge"))
    expected = {"real": 0.0, "fake": 0.0}
    for step in range(3):
        loss = game.critic_loss(score, REAL + step, FAKE, at())
        real, fake = score(REAL + step), score(FAKE)
        distance = (real - expected["fake"]).square().mean() + (fake - expected["real"]).square().mean()
        value = plain.critic_loss(score, REAL + step, FAKE, at()).value + weight * distance
        assert loss.value.item() == pytest.approx(value.item(), rel=1e-12)
        assert loss.metrics["lecam"].item() == pytest.approx(distance.item(), rel=1e-12)
        game.settle("generator", nn.Identity(), {})
        game.settle("critic", nn.Identity(), loss.statistics)
        for name, scores in (("real", real), ("fake", fake)):
            expected[name] = decay * expected[name] + (1 - decay) * scores.mean().item()
    assert {name: game.state_dict()[f"{name}_anchor"].item() for name in expected} == pytest.approx(expected, rel=1e-12)
    assert not plain.state_dict()


@pytest.mark.parametrize("name", get_args(Augmentation))
def test_augmentations_are_differentiable_and_differ_by_image(name: Augmentation) -> None:
    images = REAL[:3].clone().requires_grad_()
    torch.manual_seed(0)
    changed = augment([name], images.expand(3, 2, 8, 8) * 1.0)
    assert not torch.isclose(changed, images).all()

    def again(values: Tensor) -> Tensor:
        torch.manual_seed(0)
        return augment([name], values)

    assert torch.autograd.gradcheck(again, (images,))
    assert torch.autograd.gradgradcheck(again, (images,))


def test_without_a_policy_nothing_is_drawn_or_changed() -> None:
    state = torch.get_rng_state()
    assert augment([], REAL) is REAL
    assert Game(GameConfig()).seen(REAL, at()) is REAL
    assert torch.get_rng_state().equal(state)


def test_a_translation_moves_whole_images_by_at_most_an_eighth_and_fills_with_zeros() -> None:
    images = torch.arange(1.0, 1.0 + 16 * 24, dtype=DOUBLE).view(1, 1, 16, 24).expand(200, 2, 16, 24)
    shifts = set()
    for moved in translate(images):
        row, column = ((moved[0] > 0).nonzero()[0]).tolist()
        value = int(moved[0, row, column]) - 1
        down, right = row - value // 24, column - value % 24
        shifts.add((down, right))
        expected = torch.zeros_like(moved)
        expected[:, max(0, down) : 16 + min(0, down), max(0, right) : 24 + min(0, right)] = images[
            0, :, max(0, -down) : 16 - max(0, down), max(0, -right) : 24 - max(0, right)
        ]
        assert moved.equal(expected)
    # 35 equally likely shifts of 2 rows and 3 columns at most; 200 draws miss both ends of one axis with 1e-11.
    assert {d for d, _ in shifts} == set(range(-2, 3))
    assert {r for _, r in shifts} == set(range(-3, 4))


def test_a_cutout_is_a_square_of_half_the_side() -> None:
    holes = (cut_out(torch.ones(300, 2, 8, 8, dtype=DOUBLE)) == 0.0)[:, 0]
    sizes = {tuple(hole.any(dim=1 - axis).sum().item() for axis in (0, 1)) for hole in holes}
    assert max(sizes) == (4, 4)
    assert min(min(size) for size in sizes) == 2  # a centre at the border leaves half of it
    for hole in holes:
        rows, columns = hole.any(dim=1), hole.any(dim=0)
        assert hole.equal(rows[:, None] & columns[None, :])


def test_colour_keeps_what_it_says() -> None:
    changed = colour(REAL)
    centred = [images - images.mean(dim=1, keepdim=True) for images in (REAL, changed)]
    factors = centred[1] / centred[0]  # saturation times contrast, one for each image
    torch.testing.assert_close(factors, factors[:, :1, :1, :1].expand_as(factors), rtol=1e-8, atol=0.0)
    brightness = (changed - REAL).mean(dim=(1, 2, 3))  # the other two keep the mean
    assert (brightness.abs() <= 0.5).all()
    assert brightness.unique().numel() == len(REAL)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"critic_updates": 0}, r"model\.game\.critic_updates is 0: it must be at least 1"),
        ({"penalty_every": 0}, r"model\.game\.penalty_every is 0"),
        ({"penalty_weight": 0.0}, r"model\.game\.penalty_weight is 0\.0"),
        ({"clip_value": float("inf")}, r"model\.game\.clip_value is inf"),
        ({"label_smoothing": 0.5}, r"model\.game\.label_smoothing is 0\.5"),
        ({"lecam_weight": -1.0}, r"model\.game\.lecam_weight is -1\.0"),
        ({"lecam_decay": 1.0}, r"model\.game\.lecam_decay is 1\.0"),
        ({"instance_noise": 0.1}, "say with instance_noise_images"),
        ({"penalty": "r1", "objective": "wasserstein-gp"}, 'choose the objective "wasserstein"'),
        ({"penalty": "one-sided", "objective": "wasserstein-clip"}, 'choose the objective "wasserstein"'),
        ({"penalty": "two-sided", "objective": "wasserstein"}, 'the objective "wasserstein-gp"'),
        ({"penalty_every": 4}, "there is no penalty"),
        ({"label_smoothing": 0.1, "objective": "hinge"}, "has no labels"),
        ({"augmentation": ("colour", "colour")}, "name each kind once"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GameConfig(**settings)  # type: ignore[arg-type]


def test_only_a_game_has_an_objective() -> None:
    class Other:
        objective = "elbo"

    assert objective_of(Other()) is None
