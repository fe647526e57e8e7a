"""Polygons: convex, inside the square, drawn where they are, determined by their seed."""

import numpy as np
import pytest

from gen_dist.data.sources.polygons import PolygonsSource, polygon_vertices, render_polygon


def test_polygons_are_determined_by_their_seed() -> None:
    def some(seed: int) -> np.ndarray:
        return np.stack([np.asarray(example.load()) for example in PolygonsSource(num_images=5, seed=seed).examples()])

    assert some(0).shape == (5, 32, 32, 1)
    assert np.array_equal(some(0), some(0))
    assert not np.array_equal(some(0), some(1))


@pytest.mark.parametrize("num_vertices", [3, 4, 8])
def test_polygons_are_convex_and_inside_the_square(num_vertices: int) -> None:
    for index in range(200):
        vertices = polygon_vertices(0, index, num_vertices)
        assert vertices.shape == (num_vertices, 2)
        # The algorithm sums up vectors, so a vertex may miss the border by rounding.
        assert vertices.min() >= -1e-12
        assert vertices.max() <= 1 + 1e-12
        edges = np.roll(vertices, -1, axis=0) - vertices
        following = np.roll(edges, -1, axis=0)
        turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
        assert turns.min() > 0, "every corner turns left"


def test_a_square_is_drawn_where_it_is() -> None:
    square = np.array([[0.25, 0.5], [0.75, 0.5], [0.75, 1.0], [0.25, 1.0]])
    expected = np.zeros((8, 8, 1), dtype=np.uint8)
    expected[4:, 2:6] = 255
    assert np.array_equal(render_polygon(square, 8), expected)


def test_the_mean_of_a_drawing_is_the_polygons_area() -> None:
    for index in range(50):
        vertices = polygon_vertices(1, index, 3)
        (a, b, c) = vertices
        area = 0.5 * ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
        # 128 x 128 points: an outline of length at most 4 passes 4 * 128 of them, each of which may err either way.
        assert abs(render_polygon(vertices, 32).mean() / 255 - area) < 0.01


@pytest.mark.parametrize("options", [{"num_images": 0}, {"size": 2}, {"num_vertices": 2}])
def test_polygons_that_are_none_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="polygons"):
        PolygonsSource(**options)
