"""White convex polygons on black: synthetic images whose manifold is known exactly.

After the grey triangles of M. Lucic, K. Kurach, M. Michalski, S. Gelly, O. Bousquet, "Are GANs Created Equal? A
Large-Scale Study", 2018, arXiv:1711.10337, Section 6.1. Every image is determined by its vertices, so the distance of
a generated image to the manifold can be computed, and so can what share of the manifold a generator covers.

Shapes are drawn with Valtr's algorithm, which is uniform over convex polygons up to their place (P. Valtr, "Probability
that n random points are in convex position", 1995), and then put at a random place in the square. Pixels are the share
of their area that the polygon covers, taken over a grid of points.
"""

from collections.abc import Iterator
from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray

from gen_dist.data.order import random_generator
from gen_dist.data.schema import SplitName
from gen_dist.data.sources.source import Example

POINTS_PER_SIDE = 4
LEAST_AREA = 0.04


@final
class PolygonsSource:
    """A set of polygons that its arguments determine.

    Args:
        num_images: how many.
        size: side of the square images.
        num_vertices: of every polygon; 3 for triangles.
        seed: of the vertices.
    """

    class_names: tuple[str, ...] = ()
    published_splits: frozenset[SplitName] = frozenset()
    has_text = False

    def __init__(self, *, num_images: int = 20_000, size: int = 32, num_vertices: int = 3, seed: int = 0) -> None:
        if num_images < 1 or not 4 <= size <= 1024:
            raise ValueError(f"{num_images} polygons of {size} pixels: at least 1 image, and 4 to 1024 pixels")
        if not 3 <= num_vertices <= 32:
            raise ValueError(f"num_vertices is {num_vertices}: polygons have 3 to 32 vertices")
        self.name = "polygons"
        self.num_examples = num_images
        self._size = size
        self._num_vertices = num_vertices
        self._seed = seed

    def examples(self) -> Iterator[Example]:
        """In the order of their index."""
        for index in range(self.num_examples):
            yield Example(id=f"{index:08d}", where=f"polygons[{index}]", load=partial(self._image, index))

    def _image(self, index: int) -> NDArray[np.uint8]:
        return render_polygon(polygon_vertices(self._seed, index, self._num_vertices), self._size)


def polygon_vertices(seed: int, index: int, num_vertices: int) -> NDArray[np.float64]:
    """The vertices of one image, counter-clockwise, as (x, y) in the unit square.

    Polygons that cover less than 4 % of the square are drawn again: they would vanish between the pixels.
    """
    random = random_generator("polygon", seed, num_vertices, index)
    while True:
        vertices = _valtr(random, num_vertices)
        following = np.roll(vertices, -1, axis=0)
        area = 0.5 * float(np.sum(vertices[:, 0] * following[:, 1] - following[:, 0] * vertices[:, 1]))
        if area >= LEAST_AREA:
            return vertices


def render_polygon(vertices: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The image (size, size, 1) of a convex polygon whose vertices run counter-clockwise in the unit square."""
    along = (np.arange(size * POINTS_PER_SIDE) + 0.5) / (size * POINTS_PER_SIDE)
    inside = np.ones((len(along), len(along)), dtype=bool)
    for (x, y), (next_x, next_y) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        # A point is inside a convex polygon if it lies to the left of every edge.
        inside &= (next_x - x) * (along[:, None] - y) >= (next_y - y) * (along[None, :] - x)
    covered = inside.reshape(size, POINTS_PER_SIDE, size, POINTS_PER_SIDE).mean(axis=(1, 3))
    pixels: NDArray[np.uint8] = np.round(covered * 255).astype(np.uint8)[..., None]
    return pixels


def _valtr(random: np.random.Generator, num_vertices: int) -> NDArray[np.float64]:
    def steps() -> NDArray[np.float64]:
        """Vector components that sum to zero: two chains from the least value to the greatest and back."""
        values = np.sort(random.random(num_vertices))
        upward = random.random(num_vertices - 2) < 0.5
        inner = values[1:-1]
        up = np.concatenate([values[:1], inner[upward], values[-1:]])
        down = np.concatenate([values[:1], inner[~upward], values[-1:]])
        return np.concatenate([np.diff(up), -np.diff(down)])

    x, y = steps(), random.permutation(steps())
    place = random.random(2)
    order = np.argsort(np.arctan2(y, x), kind="stable")
    corners = np.cumsum(np.stack([x[order], y[order]], axis=1), axis=0)
    extent = corners.max(axis=0) - corners.min(axis=0)
    vertices: NDArray[np.float64] = corners - corners.min(axis=0) + place * (1.0 - extent)
    return vertices
