"""GAN-INT-CLS: the three terms of its critic, captions that are really wrong, points between captions, who moves."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from caption_cases import CAPTIONED, DOUBLE, GAN, WORDS, caption_bytes, captioned, gan_of, signal_of
from torch import Tensor

from gen_dist.capabilities import BuildsOn, Conditions, Samples
from gen_dist.losses.matching import matching_aware_loss
from gen_dist.models.composed.text_to_image import TextToImage, TextToImageConfig, interpolated
from gen_dist.nn.normalization import Normalization
from gen_dist.types import DataSpec, ImageBatch, Moment, to_signed


def log_losses(*probabilities: float) -> Tensor:
    """Scores with these probabilities of being real."""
    return torch.tensor([math.log(p / (1.0 - p)) for p in probabilities], dtype=DOUBLE)


def test_the_matching_aware_loss_by_hand() -> None:
    """Algorithm 1: log s_r + (log(1 - s_w) + log(1 - s_f)) / 2 is raised; the second image has no wrong caption."""
    right, wrong, fake = log_losses(0.9, 0.6), log_losses(0.2, 0.7), log_losses(0.3, 0.4)
    loss = matching_aware_loss(right, wrong, fake, torch.tensor([True, False]))
    expected = [
        math.log(0.9) + (math.log(1 - 0.2) + math.log(1 - 0.3)) / 2,
        math.log(0.6) + (0.0 + math.log(1 - 0.4)) / 2,
    ]
    assert float(loss) == pytest.approx(-sum(expected) / 2, abs=1e-12)


@pytest.mark.parametrize("normalization", ["none", "group", "spectral"])
def test_the_critic_sees_three_kinds_of_pairs(normalization: Normalization) -> None:
    """Each pair is put together by hand here, and scored alone."""
    learner, batch = gan_of(critic_normalization=normalization), captioned()
    copied = copy.deepcopy(learner)  # before spectral normalisation takes its steps in the signal
    signal = signal_of(learner, "critic", batch)
    torch.manual_seed(3)
    assert batch.captions is not None
    text = copied.embed(batch.captions)
    fake = copied.generator(torch.randn(5, 5, dtype=DOUBLE), text).detach()
    real = to_signed(batch.images, DOUBLE)
    if normalization == "spectral":  # compare at the same singular vectors
        copied.critic = copy.deepcopy(learner.critic)
        signal = None
    copied.critic.eval()
    terms = []
    for i in range(5):
        one, other = text[i : i + 1], text[i - 1 : i] if i else text[-1:]
        right, wrong = copied.critic(real[i : i + 1], one), copied.critic(real[i : i + 1], other)
        generated = copied.critic(fake[i : i + 1], one)
        terms.append(F.logsigmoid(right) + 0.5 * (torch.log1p(-wrong.sigmoid()) + torch.log1p(-generated.sigmoid())))
    if signal is None:
        learner.critic.eval()
        signal = signal_of(learner, "critic", batch)
    torch.testing.assert_close(signal.value.detach(), -torch.cat(terms).mean().detach())


def test_a_wrong_caption_reads_differently_from_the_right_one() -> None:
    """What a critic that always says "real" pays for wrong pairs counts those whose captions differ."""
    for texts, num_wrong in ((WORDS, 5), (("a", "a", "b", "c"), 3), (("a", "b"), 2), (("a", "a"), 0), (("a",), 0)):
        learner = gan_of(critic_normalization="none", generator_normalization="none")
        with torch.no_grad():
            for parameter in learner.critic.parameters():
                parameter.zero_()  # every score is 0: each term of a pair is log 2
        signal = signal_of(learner, "critic", captioned(texts))
        expected = math.log(2.0) * (1.0 + 0.5 * num_wrong / len(texts) + 0.5)
        assert float(signal.value.detach()) == pytest.approx(expected, abs=1e-12), texts


def test_interpolation_at_zero_is_the_caption_itself_and_at_one_the_other() -> None:
    text = torch.randn(6, 4, dtype=DOUBLE)
    assert torch.equal(interpolated(text, 0.0), text)
    assert torch.equal(interpolated(text, 1.0), text.roll(1, 0))
    torch.testing.assert_close(interpolated(text, 0.5), (text + text.roll(1, 0)) / 2)
    torch.testing.assert_close(interpolated(text, 0.25)[0], 0.75 * text[0] + 0.25 * text[-1])


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_the_generator_is_judged_for_captions_and_for_points_between_them(beta: float) -> None:
    learner, batch = (
        gan_of(interpolation=beta, critic_normalization="none", generator_normalization="none"),
        captioned(),
    )
    signal = signal_of(learner, "generator", batch)
    assert batch.captions is not None
    torch.manual_seed(3)
    text = learner.embed(batch.captions)
    points = [text] if beta == 0.0 else [text, (1.0 - beta) * text + beta * text.roll(1, 0)]
    expected = torch.zeros((), dtype=DOUBLE)
    for point in points:
        scores = learner.critic(learner.generator(torch.randn(5, 5, dtype=DOUBLE), point), point)
        expected = expected - torch.log(scores.sigmoid()).mean()
    torch.testing.assert_close(signal.value, expected)


@pytest.mark.parametrize("normalization", ["batch", "group", "spectral", "none"])
def test_a_phase_moves_its_player_whole_and_nobody_else(normalization: Normalization) -> None:
    learner = gan_of(critic_normalization=normalization, generator_normalization=normalization)
    assert [phase.name for phase in learner.phases] == ["critic", "generator"]
    others = {"critic": learner.generator, "generator": learner.critic}
    for name, other in others.items():
        learner.zero_grad(set_to_none=True)
        parameters = learner.active(name, Moment())
        signal_of(learner, name, captioned()).deposit(parameters, 0.5)
        assert all(parameter.grad is None for parameter in other.parameters())
        assert all(parameter.grad is None for parameter in learner.foundation.parameters())
        mine = dict(learner.players[name].module.named_parameters())
        assert {id(p) for p in parameters} == {id(p) for p in mine.values()}
        assert not {key for key, p in mine.items() if p.grad is None or not p.grad.abs().sum() > 0.0}


def test_the_text_reaches_the_image_and_the_score() -> None:
    learner = gan_of().eval()
    latents = torch.randn(1, 5, dtype=DOUBLE).expand(5, 5)
    text = learner.embed(caption_bytes(WORDS))
    images = learner.generator(latents, text)
    assert images.shape == (5, *CAPTIONED.shape)
    assert torch.cdist(images.flatten(1), images.flatten(1)).fill_diagonal_(1.0).min() > 1e-3
    scores = learner.critic(images[:1].expand(5, -1, -1, -1), text)
    assert (scores[:, None] - scores).abs().fill_diagonal_(1.0).min() > 1e-6


def test_embeddings_are_the_matchers_with_entries_of_size_one() -> None:
    learner = gan_of()
    captions = caption_bytes(WORDS)
    text = learner.embed(captions)
    torch.testing.assert_close(text, 2.0 * learner.foundation.encode_captions(captions))  # sqrt of 4 dimensions
    torch.testing.assert_close(text.square().mean(1), torch.ones(5, dtype=DOUBLE))
    assert not text.requires_grad
    torch.testing.assert_close(learner.embed(F.pad(captions, (0, 9))), text)


def test_it_draws_for_captions_and_without_any_for_those_of_its_training() -> None:
    learner = gan_of().eval()
    assert all(isinstance(learner, capability) for capability in (Samples, Conditions, BuildsOn))
    assert learner.condition_kind == "caption"
    learner.prepare(captioned(("red", "blue", "red")))
    expected = caption_bytes(("red", "blue", "red", "red"))  # four places for three captions
    assert torch.equal(learner.kept_captions, expected)
    torch.manual_seed(5)
    drawn = learner.sample(40, temperature=1e-9)
    by_hand = [learner.sample(1, condition=caption_bytes([word]), temperature=1e-9) for word in ("red", "blue")]
    kinds = [sum(bool(torch.equal(image, one[0])) for image in drawn) for one in by_hand]
    assert sum(kinds) == 40
    assert 4 * math.sqrt(40 * 3 / 16) > abs(kinds[0] - 30)  # 3 of 4 places are red: 4 standard deviations
    torch.manual_seed(6)
    first = learner.sample(2, condition=caption_bytes(["red", "red"]))
    assert not torch.equal(first[0], first[1])  # z varies what the caption leaves open


def test_standing_statistics_are_those_of_captions() -> None:
    learner = gan_of()
    batches = [captioned(), captioned(WORDS[::-1])]
    torch.manual_seed(7)
    learner.finalise(batches)
    torch.manual_seed(7)
    first = learner.generator.images[:2]
    norm = learner.generator.images[2]
    means = []
    for batch in batches:
        assert batch.captions is not None
        latents = torch.randn(5, 5, dtype=DOUBLE)
        hidden = first(torch.cat([latents, learner.generator.text(learner.embed(batch.captions))], dim=1))
        means.append(hidden.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0).detach())
    assert norm.momentum == pytest.approx(0.1)
    learner.finalise(())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no captions"):
        GAN.build(DataSpec(channels=1, height=8, width=8))
    with pytest.raises(ValueError, match=r"model\.interpolation is 1\.5"):
        TextToImageConfig(interpolation=1.5)
    with pytest.raises(ValueError, match=r"model\.text_dim is 0"):
        TextToImageConfig(text_dim=0)
    learner: TextToImage = gan_of()
    with pytest.raises(ValueError, match="give captions"):
        learner.sample(2, condition=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="have no captions"):
        signal_of(learner, "critic", ImageBatch(images=captioned().images))
