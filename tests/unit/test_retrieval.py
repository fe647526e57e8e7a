"""Retrieval: a perfect matcher always finds the caption, one that sees nothing finds it by chance."""

import math
from collections.abc import Mapping, Sequence
from typing import final

import pytest
import torch
from torch import Tensor

from gen_dist.bundle.bundle import Bundle, BundleDescription
from gen_dist.capabilities import Conditions, Matches
from gen_dist.evaluation.retrieval import CaptionJudge, retrieval, share_of_first
from gen_dist.learner import Learner, Phase, Player
from gen_dist.models.classifier.matcher import MatcherConfig
from gen_dist.types import DataSpec, ImageBatch


@final
class PixelMatcher(Learner):
    """The first pixel of an image is the first byte of its caption; `blindness` is the share of that it can't see."""

    def __init__(self, blindness: float = 0.0) -> None:
        super().__init__()
        self.blindness = blindness

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()

    def match(self, images: Tensor, captions: Tensor) -> Tensor:
        distance = (images[:, 0, 0, :1].double() - captions[:, 0].double()).abs()
        return -(1.0 - self.blindness) * distance

    def encode_captions(self, captions: Tensor) -> Tensor:
        return captions.double()


@final
class Painter(Learner):
    """Paints the caption's first byte into its images."""

    @property
    def players(self) -> Mapping[str, Player]:
        return {}

    @property
    def phases(self) -> Sequence[Phase]:
        return ()

    @property
    def condition_kind(self) -> str:
        return "caption"

    def sample(self, num: int, *, condition: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        assert condition is not None
        return condition[:, :1, None, None].expand(num, 1, 2, 2)


def captions_of(first: list[int]) -> Tensor:
    return torch.tensor([[byte, 7, 0] for byte in first], dtype=torch.uint8)


CAPTIONS = captions_of([20 + index % 15 for index in range(300)])  # each of 15 captions for 20 images


def images_of(captions: Tensor) -> Tensor:
    return captions[:, :1, None, None].expand(-1, 1, 2, 2).clone()


def bundle_of(learner: Learner) -> Bundle:
    model = MatcherConfig()  # only the digest of what stands beside the learner is read
    description = BundleDescription(
        schema_version=1,
        model=model,
        data=DataSpec(channels=1, height=2, width=2, caption_bytes=3),
        provenance={},
        weights_sha256="",
        digest="digest of the matcher",
    )
    return Bundle(learner, description)


def test_a_perfect_matcher_finds_every_caption() -> None:
    found = retrieval(PixelMatcher(), images_of(CAPTIONS), CAPTIONS)
    assert (found.share, found.standard_error, found.chance, found.num_images) == (1.0, 0.0, 0.1, 300)


@pytest.mark.parametrize("num_choices", [2, 10, 15])
def test_a_constant_matcher_finds_them_by_chance(num_choices: int) -> None:
    """All choices tie, so each image counts exactly 1/k: whatever place its own caption has among them."""
    found = retrieval(PixelMatcher(blindness=1.0), images_of(CAPTIONS), CAPTIONS, num_choices=num_choices)
    assert found.share == pytest.approx(1.0 / num_choices, abs=1e-7)  # 1/k in float32
    assert found.chance == 1.0 / num_choices
    assert found.standard_error == pytest.approx(0.0, abs=1e-7)


def test_images_that_show_something_else_are_found_by_chance() -> None:
    """Images drawn for other captions: the share lies near chance, off by what its standard error says."""
    torch.manual_seed(0)
    images = images_of(CAPTIONS[torch.randperm(300)])
    found = retrieval(PixelMatcher(), images, CAPTIONS, num_choices=5)
    expected_error = math.sqrt(found.share * (1.0 - found.share) / 300)  # of a share of 300; ties move it a little
    assert found.standard_error == pytest.approx(expected_error, rel=0.2)
    assert abs(found.share - 0.2) < 4.0 * found.standard_error


def test_others_are_different_captions_and_follow_the_seed() -> None:
    """With as many choices as captions, a wrong image is right exactly when its caption is the nearest to it."""
    images = images_of(captions_of([20] * 300))
    assert retrieval(PixelMatcher(), images, CAPTIONS, num_choices=15).share == pytest.approx(20 / 300)
    few = {seed: retrieval(PixelMatcher(), images, CAPTIONS, num_choices=3, seed=seed).share for seed in (0, 1)}
    assert few[0] != few[1]
    assert few[0] == retrieval(PixelMatcher(), images, CAPTIONS, num_choices=3, seed=0).share
    # Caption i is found if neither of the other two lies before it: C(14 - i, 2) of C(14, 2) pairs.
    expected = sum(math.comb(14 - i, 2) for i in range(15)) / 15 / math.comb(14, 2)
    assert few[0] == pytest.approx(expected, abs=4.0 * math.sqrt(expected * (1 - expected) / 300))


def test_ties_share_the_point() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0], [2.0, 2.0, 1.0], [1.0, 1.0, 1.0], [0.0, 5.0, 5.0]])
    assert share_of_first(scores).tolist() == pytest.approx([1.0, 0.5, 1.0 / 3.0, 0.0])


def test_a_model_is_judged_by_what_it_draws_for_the_captions_of_real_images() -> None:
    assert isinstance(Painter(), Conditions)
    assert isinstance(PixelMatcher(), Matches)
    torch.manual_seed(0)
    shuffled = images_of(CAPTIONS[torch.randperm(300)])
    judge = CaptionJudge(bundle_of(PixelMatcher()), ImageBatch(images=shuffled, captions=CAPTIONS))
    assert judge.matcher_digest == "digest of the matcher"
    assert judge.anchors == {"retrieval_real": retrieval(PixelMatcher(), shuffled, CAPTIONS).share}
    assert judge.figures(Painter(), seed=0) == {"retrieval": 1.0, "retrieval_error": 0.0}
    assert judge.figures(PixelMatcher(), seed=0) == {}  # which draws nothing


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="Painter can't match captions with images"):
        retrieval(Painter(), images_of(CAPTIONS), CAPTIONS)
    with pytest.raises(ValueError, match="the images have no captions to match"):
        CaptionJudge(bundle_of(PixelMatcher()), ImageBatch(images=images_of(CAPTIONS)))
    with pytest.raises(ValueError, match="with 15 different captions it must lie between 2 and that"):
        retrieval(PixelMatcher(), images_of(CAPTIONS), CAPTIONS, num_choices=16)
