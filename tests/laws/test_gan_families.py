"""The first GAN, residual GANs and conditional GANs, in float64: their networks against the papers' formulas."""

import copy
import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from gan_cases import DOUBLE, GREY, batch_of
from torch import Tensor, nn

from gen_dist.capabilities import Conditions, Decodes
from gen_dist.learner import Context, Loss
from gen_dist.losses.adversarial import critic_loss, generator_loss
from gen_dist.models.gan.conditional import ConditionalGAN, ConditionalGANConfig, Conditioning
from gen_dist.models.gan.game import GameConfig
from gen_dist.models.gan.generating import standing_statistics
from gen_dist.models.gan.original import Maxout, OriginalGANConfig
from gen_dist.models.gan.resnet import GlobalPooling, ResidualBlock, ResNetGANConfig
from gen_dist.models.gan.unconditional import UnconditionalGAN
from gen_dist.types import DataSpec, ImageBatch, Moment, to_signed

LABELLED = replace(GREY, class_names=("a", "b", "c"))
ORIGINAL = OriginalGANConfig(latent_dim=5, generator_hidden=(9, 8), critic_hidden=(7, 6), critic_pieces=3)
RESIDUAL = ResNetGANConfig(latent_dim=5, generator_channels=6, critic_channels=4, critic_blocks=1)
CONDITIONAL = ConditionalGANConfig(
    latent_dim=5, generator_channels=8, critic_channels=8, base_size=2, initial_std=None, critic_normalization="none"
)


def context() -> Context:
    return Context(Moment(), 0, 0, {})


def unconditional(config: OriginalGANConfig | ResNetGANConfig, data: DataSpec = GREY) -> UnconditionalGAN:
    torch.manual_seed(1)
    return config.build(data).double()


def conditional(config: ConditionalGANConfig) -> ConditionalGAN:
    torch.manual_seed(1)
    return config.build(LABELLED).double()


def labelled(num: int) -> ImageBatch:
    return replace(batch_of(num), labels=torch.arange(num) % 3)


def test_a_maxout_unit_is_the_largest_of_its_linear_functions() -> None:
    layer = Maxout(4, 3, 5).double()
    values = torch.randn(7, 4, dtype=DOUBLE)
    rows, biases = layer.linear.weight.view(3, 5, 4), layer.linear.bias.view(3, 5)
    for unit in range(3):
        each = torch.stack([values @ rows[unit, piece] + biases[unit, piece] for piece in range(5)])
        torch.testing.assert_close(layer(values)[:, unit], each.max(dim=0).values, rtol=1e-12, atol=1e-14)


def test_the_first_gan_is_two_perceptrons_with_dropout_before_every_layer_of_the_critic() -> None:
    learner = unconditional(ORIGINAL)
    widths = [(m.in_features, m.out_features) for m in learner.modules() if isinstance(m, nn.Linear)]
    assert widths == [(5, 9), (9, 8), (8, 64), (64, 21), (7, 18), (6, 1)]
    dropped = [m.p for m in learner.critic if isinstance(m, nn.Dropout)]
    assert dropped == [0.2, 0.5, 0.5]
    assert not any(isinstance(m, nn.Dropout) for m in learner.generator.modules())
    latents = torch.randn(4, 5, dtype=DOUBLE)
    with torch.no_grad():
        before = learner.generator[:-2](latents)
        # The paper's sigmoid in [0, 1], moved to [-1, 1], is a tanh of half the argument.
        expected = (2.0 * torch.sigmoid(2.0 * before) - 1.0).view(4, 1, 8, 8)
    torch.testing.assert_close(learner.generator(latents), expected, rtol=1e-12, atol=1e-14)


def test_the_paper_moves_by_gradient_descent_with_momentum() -> None:
    """Algorithm 1: k ascents of the critic's value, each on a fresh batch, then one descent of the generator's."""
    learner = unconditional(replace(ORIGINAL, game=GameConfig(objective="minimax", critic_updates=3)))
    assert [(phase.player, phase.repeats_at(Moment())) for phase in learner.phases] == [("critic", 3), ("generator", 1)]
    for player in learner.players.values():
        assert type(player.optimizer).__name__ == "SGD"


def test_a_residual_block_is_its_shortcut_plus_two_convolutions() -> None:
    images = torch.randn(3, 4, 8, 8, dtype=DOUBLE)
    plain = ResidualBlock(4, 4, "none").double()
    expected = images + plain.convolution2(F.relu(plain.convolution1(F.relu(images))))
    torch.testing.assert_close(plain(images), expected, rtol=1e-12, atol=1e-14)
    down = ResidualBlock(4, 6, "none", resample="down").double()
    inner = down.convolution2(F.relu(down.convolution1(F.relu(images))))
    expected = F.avg_pool2d(down.shortcut(images), 2) + F.avg_pool2d(inner, 2)
    torch.testing.assert_close(down(images), expected, rtol=1e-12, atol=1e-14)
    assert down.convolution1.out_channels == 4  # the critic widens in its second convolution
    up = ResidualBlock(4, 6, "none", resample="up").double()
    doubled = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    inner = up.convolution2(F.relu(up.convolution1(F.relu(doubled))))
    torch.testing.assert_close(up(images), up.shortcut(doubled) + inner, rtol=1e-12, atol=1e-14)


def test_a_first_block_sees_images_without_a_nonlinearity() -> None:
    images = torch.randn(3, 2, 8, 8, dtype=DOUBLE)
    block = ResidualBlock(2, 6, "none", resample="down", first=True).double()
    inner = block.convolution2(F.relu(block.convolution1(images)))
    # Pooling before a 1 x 1 convolution is pooling after it: both are linear.
    expected = F.avg_pool2d(block.shortcut(images) + inner, 2)
    torch.testing.assert_close(block(images), expected, rtol=1e-12, atol=1e-13)


def test_global_pooling() -> None:
    maps = torch.randn(2, 3, 4, 5, dtype=DOUBLE)
    torch.testing.assert_close(GlobalPooling("sum")(maps), 20.0 * GlobalPooling("mean")(maps), rtol=1e-12, atol=1e-14)


def test_a_bias_that_the_generators_batch_norms_cancel_is_left_out() -> None:
    learner = unconditional(RESIDUAL)
    latents = torch.randn(4, 5, dtype=DOUBLE)
    biased = copy.deepcopy(learner.generator)
    block = next(layer for layer in biased if isinstance(layer, ResidualBlock))
    assert block.convolution2.bias is None
    block.convolution2.bias = nn.Parameter(torch.randn(6, dtype=DOUBLE))
    # A constant beside batch normalisation: only rounding is left of it.
    torch.testing.assert_close(biased(latents), learner.generator(latents), rtol=0.0, atol=1e-12)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_residual_networks_have_the_papers_sizes() -> None:
    """WGAN-GP's for 32 x 32: 4x4x128, three blocks that double; two that halve and two that do not, mean, linear."""
    with torch.device("meta"):
        learner = ResNetGANConfig().build(DataSpec(channels=3, height=32, width=32))
    block = 2 * 9 * 128 * 128 + 128 * 128 + 4 * 128  # two kernels, a shortcut, two batch norms
    assert count(learner.generator) == 129 * 2048 + 3 * block + 256 + 9 * 128 * 3 + 3
    first = 9 * 3 * 128 + 128 + 9 * 128 * 128 + 128 + 3 * 128 + 128
    down = 2 * (9 * 128 * 128 + 128) + 128 * 128 + 128
    plain = 2 * (9 * 128 * 128 + 128)
    assert count(learner.critic) == first + down + 2 * plain + 128
    sizes = []
    for layer in learner.critic:
        if isinstance(layer, ResidualBlock):
            layer.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.shape[-1]))
    learner.critic(torch.zeros(1, 3, 32, 32, device="meta"))
    assert sizes == [16, 8, 8, 8]


def test_every_layer_of_a_spectrally_normalised_residual_critic_has_norm_one() -> None:
    learner = unconditional(replace(RESIDUAL, critic_normalization="spectral", game=GameConfig(objective="hinge")))
    layers = [layer for layer in learner.critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3 + 3 + 2 + 1  # two blocks with a shortcut, one without, and the last layer
    for _ in range(600):
        weights = [layer.weight for layer in layers]
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.detach().flatten(1), 2).item() == pytest.approx(1.0, rel=1e-4)


def test_images_that_the_residual_critic_cannot_halve_are_refused() -> None:
    with pytest.raises(ValueError, match=r"critic_halvings is 4: images of 8 x 24 pixels"):
        replace(RESIDUAL, critic_halvings=4).build(DataSpec(channels=1, height=8, width=24))


def test_projection_is_the_labels_row_of_a_linear_map_of_the_features() -> None:
    learner = conditional(replace(CONDITIONAL, conditioning="projection"))
    images, labels = torch.randn(6, 1, 8, 8, dtype=DOUBLE), torch.tensor([0, 1, 2, 2, 1, 0])
    critic = learner.critic
    features = critic.features(images)
    scores, logits = critic(images, labels)
    assert logits is None
    psi = features @ critic.score.weight[0] + critic.score.bias
    expected = psi + (critic.classes.weight[labels] * features).sum(dim=1)  # y^T V f(x) + psi(f(x))
    torch.testing.assert_close(scores, expected, rtol=1e-12, atol=1e-12)


def test_concatenation_shows_the_critic_one_plane_for_each_class() -> None:
    learner = conditional(replace(CONDITIONAL, conditioning="concatenation"))
    seen: list[Tensor] = []
    learner.critic.features.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    images, labels = torch.randn(2, 1, 8, 8, dtype=DOUBLE), torch.tensor([2, 0])
    learner.critic(images, labels)
    assert seen[0][:, :1].equal(images)
    expected = torch.zeros(2, 3, 8, 8, dtype=DOUBLE)
    expected[0, 2], expected[1, 0] = 1.0, 1.0
    assert seen[0][:, 1:].equal(expected)


@pytest.mark.parametrize("conditioning", get_args(Conditioning))
def test_signals_of_a_conditional_gan(conditioning: Conditioning) -> None:
    """Put together again from the networks' outputs for the same noise; with L_C of both kinds of images (Odena)."""
    weight = 0.5
    config = replace(CONDITIONAL, conditioning=conditioning, class_weight=weight, generator_normalization="none")
    learner, batch = conditional(config), labelled(6)
    assert batch.labels is not None
    torch.manual_seed(3)
    with torch.no_grad():
        noise = torch.randn(6, 5, dtype=DOUBLE)
        fake = learner.generator(torch.cat([noise, F.one_hot(batch.labels, 3).double()], dim=1))
        real_scores, real_logits = learner.critic(to_signed(batch.images, DOUBLE), batch.labels)
        fake_scores, fake_logits = learner.critic(fake, batch.labels)
    critic = critic_loss("non-saturating", real_scores, fake_scores)
    generator = generator_loss("non-saturating", fake_scores)
    if conditioning == "auxiliary":
        of_fake = F.cross_entropy(fake_logits, batch.labels)
        critic = critic + weight * (F.cross_entropy(real_logits, batch.labels) + of_fake)
        generator = generator + weight * of_fake
    for phase, expected in zip(learner.phases, (critic, generator), strict=True):
        torch.manual_seed(3)
        signal = phase.signal(batch, context())
        assert isinstance(signal, Loss)
        torch.testing.assert_close(signal.value, expected, rtol=1e-12, atol=1e-14)
        assert signal.metrics["loss"].equal(signal.value.detach())
        assert ("fake_class_loss" in signal.metrics) == (conditioning == "auxiliary")


@pytest.mark.parametrize("conditioning", get_args(Conditioning))
def test_a_label_changes_the_image_and_the_score(conditioning: Conditioning) -> None:
    learner = conditional(replace(CONDITIONAL, conditioning=conditioning))
    assert isinstance(learner, Conditions)
    assert not isinstance(learner, Decodes)
    assert learner.condition_kind == "label"
    images = []
    for label in (0, 1):
        torch.manual_seed(5)
        images.append(learner.sample(4, condition=torch.full((4,), label)))
    assert not images[0].equal(images[1])
    signed = to_signed(images[0], DOUBLE)
    first, second = (learner.critic(signed, torch.full((4,), label))[0] for label in (0, 1))
    assert first.equal(second) == (conditioning == "auxiliary")  # its classifier looks at the class, its score does not
    with pytest.raises(ValueError, match="integers from 0 to 2"):
        learner.sample(1, condition=torch.tensor([3]))


def test_a_conditional_gan_needs_labels() -> None:
    with pytest.raises(ValueError, match="needs labels"):
        CONDITIONAL.build(GREY)
    with pytest.raises(ValueError, match=r"feature_matching is true with the conditioning \"auxiliary\""):
        replace(CONDITIONAL, conditioning="auxiliary", game=GameConfig(feature_matching=True))
    with pytest.raises(ValueError, match=r"class_weight is 0\.0"):
        replace(CONDITIONAL, class_weight=0.0)


@pytest.mark.parametrize("build", [lambda game: unconditional(replace(ORIGINAL, game=game)),
                                   lambda game: unconditional(replace(RESIDUAL, game=game)),
                                   lambda game: conditional(replace(CONDITIONAL, game=game))])  # fmt: skip
def test_feature_matching_reads_what_the_critics_last_layer_reads(build: object) -> None:
    learner = build(GameConfig(feature_matching=True))  # type: ignore[operator]
    batch = labelled(6)
    learner.eval()  # dropout would differ between the two calls
    torch.manual_seed(3)
    value = learner.phases[-1].signal(batch, context()).value
    torch.manual_seed(3)
    noise = torch.randn(6, 5, dtype=DOUBLE)
    real = to_signed(batch.images, DOUBLE)
    with torch.no_grad():
        if isinstance(learner, ConditionalGAN):
            fake = learner.generator(torch.cat([noise, F.one_hot(batch.labels, 3).double()], dim=1))
            means = [learner.critic.features(images).mean(dim=0) for images in (real, fake)]
        else:
            fake = learner.generator(noise)
            means = [learner.critic[:-1](images).mean(dim=0) for images in (real, fake)]
    assert value.item() == pytest.approx((means[0] - means[1]).square().sum().item(), rel=1e-12)


def test_lecams_means_belong_to_the_checkpoint_of_a_learner() -> None:
    learner = unconditional(replace(ORIGINAL, game=GameConfig(lecam_weight=0.1)))
    signal = learner.phases[0].signal(batch_of(6), context())
    learner.settle("critic", signal.statistics)
    state = learner.state_dict()
    for name in ("real", "fake"):
        moved = 0.01 * signal.metrics[f"{name}_score"]
        torch.testing.assert_close(state[f"game.{name}_anchor"], moved, rtol=1e-12, atol=0.0)


def test_standing_statistics_leave_modes_and_momenta_as_they_were() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double().eval()
    values = torch.randn(2, 16, 3, dtype=DOUBLE)
    with standing_statistics(network):
        for part in values:
            network(part)
    with torch.no_grad():
        expected = torch.stack([network[0](part).mean(dim=0) for part in values]).mean(dim=0)
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm1d)
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-10, atol=1e-14)
    assert norm.momentum == 0.1
    assert not network.training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator_hidden": ()}, r"generator_hidden is \(\)"),
        ({"critic_hidden": (4, 0)}, r"critic_hidden is \(4, 0\)"),
        ({"input_dropout": 1.0}, r"input_dropout is 1\.0"),
        ({"critic_std": 0.0}, r"critic_std is 0\.0"),
        ({"critic_pieces": 0}, "critic_pieces is 0"),
        ({"ema_decay": math.nan}, "ema_decay is nan"),
    ],
)
def test_wrong_settings_of_the_first_gan_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ORIGINAL, **settings)  # type: ignore[arg-type]
