"""Precision, recall, diversity and modes covered, on point sets that can be judged by eye."""

import pytest
import torch
from torch import Tensor

from gen_dist.evaluation import manifold as manifold_module
from gen_dist.evaluation.coverage import class_shares, diversity, modes_covered, pixel_deviation
from gen_dist.evaluation.manifold import manifold, precision_recall


def line(*points: float) -> Tensor:
    return torch.tensor(points, dtype=torch.float64)[:, None]


def test_radii_reach_the_kth_other_point() -> None:
    assert manifold(line(0, 1, 3, 7), nearest_k=1).radii.tolist() == [1, 1, 2, 4]
    assert manifold(line(0, 1, 3, 7), nearest_k=2).radii.tolist() == [3, 2, 3, 6]


def test_precision_and_recall_by_hand() -> None:
    """k = 1. Data at 0, 1, 10, 11 covers [-1, 2] and [9, 12]; samples at 0.5, 1.5, 5, 50 cover [-0.5, 2.5],
    [1.5, 8.5] and [5, 95], so that of the data 0, 1 and both far ones are drawn, and of the samples two are real."""
    data, samples = manifold(line(0, 1, 10, 11), 1), manifold(line(0.5, 1.5, 5, 50), 1)
    shares = precision_recall(data, samples)
    assert shares.precision == 2 / 4
    assert shares.recall == 4 / 4
    swapped = precision_recall(samples, data)
    assert (swapped.precision, swapped.recall) == (shares.recall, shares.precision)


def test_a_model_that_draws_one_mode_is_precise_and_recalls_that_mode() -> None:
    generator = torch.Generator().manual_seed(0)
    modes = [torch.randn(40, 3, generator=generator) + 100 * mode for mode in range(4)]
    drawn = torch.randn(60, 3, generator=generator) * 0.5
    shares = precision_recall(manifold(torch.cat(modes), 3), manifold(drawn, 3))
    assert shares.precision == 1.0
    assert 0 < shares.recall <= 0.25


def test_images_that_are_all_equal_recall_nothing() -> None:
    data = torch.arange(20.0)[:, None] + 0.5
    shares = precision_recall(manifold(data, 3), manifold(torch.full((10, 1), 5.0), 3))
    assert shares.precision == 1.0
    assert shares.recall == 0.0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data, samples = torch.randn(50, 4), torch.randn(70, 4) + 0.5
    whole = precision_recall(manifold(data, 3), manifold(samples, 3))
    monkeypatch.setattr(manifold_module, "ROWS_PER_BLOCK", 7)
    assert precision_recall(manifold(data, 3), manifold(samples, 3)) == whole
    assert 0 < whole.recall < 1


def test_a_neighbour_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="nearest_k is 3: it must be smaller than the number of images, which is 3"):
        manifold(torch.zeros(3, 2), 3)


def test_diversity_compares_the_spread_of_pixels() -> None:
    data = torch.tensor([[0, 10], [200, 10]], dtype=torch.uint8).view(2, 1, 1, 2)
    narrow = torch.tensor([[50, 10], [100, 10]], dtype=torch.uint8).view(2, 1, 1, 2)
    assert pixel_deviation(data) == 50.0  # standard deviations 100 and 0
    assert diversity(narrow, pixel_deviation(data)) == 0.25
    assert diversity(data[:1].expand(5, -1, -1, -1), pixel_deviation(data)) == 0.0


def test_modes_covered_counts_classes_that_are_drawn_at_a_tenth_of_their_share() -> None:
    data = class_shares(torch.tensor([0] * 50 + [1] * 30 + [2] * 20), 4)
    assert data == [0.5, 0.3, 0.2, 0.0]
    drawn = class_shares(torch.tensor([0] * 96 + [1] * 3 + [2] * 1), 4)  # a tenth of 0.3 is enough, of 0.2 is not
    assert modes_covered(drawn, data) == pytest.approx(2 / 3)
    assert modes_covered(data, data) == 1.0  # the fourth class has no images, so it can't be missed
