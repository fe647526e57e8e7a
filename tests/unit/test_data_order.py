"""The shuffled order: a permutation of every epoch, by windows, a pure function of seed and position."""

import numpy as np
import pytest

from gen_dist.data.order import WINDOW_GROUPS, ShuffledOrder, random_generator

GROUP_ROWS = (10, 10, 10, 3, 10, 10, 7, 10, 10, 1)
NUM_ROWS = sum(GROUP_ROWS)


@pytest.mark.parametrize("epoch", [0, 1, 10**9])
def test_every_epoch_holds_every_row_once(epoch: int) -> None:
    rows = ShuffledOrder(GROUP_ROWS, seed=0).rows_of_epoch(epoch)
    assert sorted(rows) == list(range(NUM_ROWS))


def test_the_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    order = ShuffledOrder(GROUP_ROWS, seed=0)
    first = order.rows_of_epoch(0).copy()
    assert not np.array_equal(first, order.rows_of_epoch(1))
    assert not np.array_equal(first, ShuffledOrder(GROUP_ROWS, seed=1).rows_of_epoch(0))
    order.rows_of_epoch(7)
    assert np.array_equal(first, order.rows_of_epoch(0))


def test_the_order_is_the_same_on_every_machine() -> None:
    # Written down once: a checkpoint's cursor means nothing if this ever changes.
    assert ShuffledOrder((3, 3, 2), seed=5).rows_of_epoch(2).tolist() == [0, 7, 5, 1, 2, 6, 3, 4]


def test_a_window_holds_the_rows_of_its_groups() -> None:
    order = ShuffledOrder(GROUP_ROWS, seed=2)
    starts = np.cumsum((0, *GROUP_ROWS))
    rows = order.rows_of_epoch(4)
    windows = order.windows(4)
    assert sorted(group for window in windows for group in window.groups) == list(range(len(GROUP_ROWS)))
    assert [len(window.groups) for window in windows] == [WINDOW_GROUPS, WINDOW_GROUPS, 2]
    for window in windows:
        expected = np.concatenate([np.arange(starts[group], starts[group + 1]) for group in window.groups])
        assert sorted(rows[window.start : window.start + window.num_rows]) == sorted(expected)


def test_rows_of_one_group_are_spread_over_their_window() -> None:
    order = ShuffledOrder((1000,) * 4, seed=0)
    position_of_row = np.argsort(order.rows_of_epoch(0))
    for group in range(4):
        # The mean of 1000 uniform places of 4000 has a standard error of 4000 / sqrt(12 * 1000) = 37: 5 of them.
        assert abs(position_of_row[group * 1000 : (group + 1) * 1000].mean() - 2000) < 185


def test_generators_of_different_purposes_differ() -> None:
    draws = {random_generator(*purpose).integers(1 << 62) for purpose in (("a", 1), ("a", 2), ("b", 1), ("a", "1"))}
    assert len(draws) == 4
    assert random_generator("a", 1).integers(1 << 62) == random_generator("a", 1).integers(1 << 62)
