"""The matcher: what fills a caption up is not read, the loss is what its formula says, equal captions are one."""

import math

import pytest
import torch
from caption_cases import CAPTIONED, DOUBLE, MATCHER, WORDS, caption_bytes, captioned, matcher_of, signal_of

from gen_dist.capabilities import Encodes, Matches
from gen_dist.losses.matching import contrastive_loss
from gen_dist.models.classifier.matcher import MatcherConfig
from gen_dist.types import DataSpec, ImageBatch, Moment

TOLERANCE = {"atol": 1e-12, "rtol": 1e-12}  # float64 sums of some dozens of terms, in another order


def test_zeros_at_the_end_change_no_embedding() -> None:
    """At every length that holds the text, odd and even, down to no fill at all."""
    model = matcher_of()
    for word in WORDS:
        num_bytes = len(word.encode())
        expected = model.encode_captions(caption_bytes([word], num_bytes))
        for length in (num_bytes + 1, num_bytes + 2, num_bytes + 5, 40):
            torch.testing.assert_close(
                model.encode_captions(caption_bytes([word], length)), expected, **TOLERANCE, msg=f"{word} {length}"
            )


def test_without_the_mask_they_would() -> None:
    """The negative control: a blank is a character, and one more of it is another text."""
    model = matcher_of()
    texts = ["red", "red ", "red  "]
    vectors = model.encode_captions(caption_bytes(texts))
    assert torch.cdist(vectors, vectors).fill_diagonal_(1.0).min() > 1e-4


def test_a_caption_has_one_embedding_of_length_one_whatever_stands_beside_it() -> None:
    model = matcher_of()
    alone = torch.cat([model.encode_captions(caption_bytes([word])) for word in WORDS])
    together = model.encode_captions(caption_bytes([*WORDS, *reversed(WORDS)]))
    torch.testing.assert_close(together, torch.cat([alone, alone.flip(0)]), **TOLERANCE)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(10, dtype=DOUBLE))
    assert torch.cdist(alone, alone).fill_diagonal_(1.0).min() > 1e-3  # not because all captions have the same


def test_the_order_of_letters_and_every_byte_of_a_letter_are_read() -> None:
    model = matcher_of()
    vectors = model.encode_captions(caption_bytes(["on", "no", "é", "è", "", "nono"]))
    assert torch.cdist(vectors, vectors).fill_diagonal_(1.0).min() > 1e-4


def test_scores_are_cosines_times_the_scale() -> None:
    model, batch = matcher_of(), captioned()
    assert batch.captions is not None
    with torch.no_grad():
        scores = model.match(batch.images, batch.captions[:2])
        images, captions = model.encode(batch.images), model.encode_captions(batch.captions[:2])
    assert scores.shape == (5, 2)
    for i, image in enumerate(images):
        for j, caption in enumerate(captions):
            assert float(scores[i, j]) == pytest.approx(float(image @ caption) / 0.07, rel=1e-6)  # 0.07 in float32
    assert isinstance(model, Matches)
    assert isinstance(model, Encodes)


def test_the_contrastive_loss_in_closed_form() -> None:
    """Right pairs score s, all others 0: of n captions, the right one is found with probability e^s / (e^s + n - 1)."""
    for n, s in ((1, 3.0), (2, 0.0), (5, 1.5), (8, -2.0)):
        eye = torch.eye(n, dtype=DOUBLE)
        loss = contrastive_loss(s * eye)
        assert float(loss) == pytest.approx(math.log(math.exp(s) + n - 1) - s, abs=1e-12)


def test_the_contrastive_loss_asks_both_ways() -> None:
    """By hand: rows are images, columns captions."""
    scores = torch.tensor([[2.0, 1.0], [0.0, 0.5]], dtype=DOUBLE)
    rows = [math.log1p(math.exp(1.0 - 2.0)), math.log1p(math.exp(0.0 - 0.5))]
    columns = [math.log1p(math.exp(0.0 - 2.0)), math.log1p(math.exp(1.0 - 0.5))]
    loss = contrastive_loss(scores)
    assert float(loss) == pytest.approx(0.5 * (sum(rows) / 2 + sum(columns) / 2), abs=1e-12)


def test_images_are_pulled_alike_to_all_copies_of_their_caption() -> None:
    """Images 0 and 1 have the same caption: at best each is found with probability 1/2, and nothing pulls any more."""
    cosines = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=DOUBLE).requires_grad_()  # with cat, with dog
    scores = 1e3 * cosines[:, [0, 0, 1]]
    loss = contrastive_loss(scores)
    assert float(loss.detach()) == pytest.approx(2.0 / 3.0 * math.log(2.0), abs=1e-12)
    (gradient,) = torch.autograd.grad(loss, cosines)
    assert gradient.abs().max() < 1e-9  # of terms near 1e3


def test_the_signal_is_the_loss_of_the_batch_and_moves_every_weight() -> None:
    model, batch = matcher_of(), captioned(("wild cat", "wild cat", "dog", "owl"))
    signal = signal_of(model, "matcher", batch)
    assert batch.captions is not None
    with torch.no_grad():
        scores = model.match(batch.images, batch.captions)
    torch.testing.assert_close(signal.value.detach(), contrastive_loss(scores))
    fits = [{0, 1}, {0, 1}, {2}, {3}]
    found = [best in right for best, right in zip(scores.argmax(1).tolist(), fits, strict=True)]
    assert float(signal.metrics["accuracy"]) == sum(found) / 4
    parameters = model.active("matcher", Moment())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    signal.deposit(parameters, 1.0)
    assert len(parameters) == len(list(model.parameters()))
    still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0.0}
    assert not still


def test_the_scale_stays_below_a_hundred() -> None:
    model = matcher_of()
    with torch.no_grad():
        model.log_scale.fill_(7.0)
    model.settle("matcher", {})
    assert float(model.log_scale.detach().exp()) == pytest.approx(100.0)
    before = model.log_scale.clone()
    model.settle("matcher", {})
    assert torch.equal(model.log_scale, before)


def test_it_learns_which_caption_belongs_to_which_image() -> None:
    """Four images and their captions, by heart: more than four alternatives at random would be right."""
    model, batch = matcher_of(max_shift=0), captioned(WORDS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        signal = signal_of(model, "matcher", batch)
        signal.value.backward()
        optimizer.step()
    assert float(signal.metrics["accuracy"]) == 1.0
    assert float(signal.value.detach()) < 0.1


def test_what_cannot_be_matched_is_refused() -> None:
    with pytest.raises(ValueError, match="the data has no captions"):
        MATCHER.build(DataSpec(channels=1, height=8, width=8))
    with pytest.raises(ValueError, match=r"model\.max_shift is 9"):
        MatcherConfig(max_shift=9).build(CAPTIONED)
    with pytest.raises(ValueError, match=r"model\.text_channels is \(\)"):
        MatcherConfig(text_channels=())
    with pytest.raises(ValueError, match="have no captions"):
        signal_of(matcher_of(), "matcher", ImageBatch(images=captioned().images))
