"""Drawing in raster order: top to bottom, left to right, red before green before blue."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Integer
from rich.console import Console
from rich.progress import track
from torch import Tensor

from gen_dist.models.autoregressive.outputs import PixelDistribution


@runtime_checkable
class PixelPredictor(Protocol):
    """A network asked for one pixel at a time."""

    def pixel(self, values: Integer[Tensor, "b c h w"], row: int, column: int) -> Float[Tensor, "b o"]:
        """Outputs at a pixel, given `values`, of which only earlier pixels and colours count.

        Called in raster order from the first pixel on, known pixels included, so it may keep what it computed. Mind
        that the pixel itself is drawn after the call: its values are in `values` when the next pixel is asked for.
        """
        ...


def previous_pixel(row: int, column: int, width: int) -> tuple[int, int] | None:
    """The pixel whose turn was before this one's; None before the first."""
    if column:
        return row, column - 1
    return (row - 1, width - 1) if row else None


@torch.no_grad()
def draw_in_raster_order(
    values: Integer[Tensor, "b c h w"],
    predictor: PixelPredictor,
    distribution: PixelDistribution,
    *,
    first_row: int = 0,
    known: Bool[Tensor, "h w"] | None = None,
    temperature: float = 1.0,
) -> None:
    """Draw all rows from `first_row` on, in place, but for pixels that are `known`.

    Args:
        values: images (or codes); the rows above `first_row` are known and stay.
        predictor: fresh: it has seen no pixel yet.
        distribution: of a pixel given the predictor's outputs.
        first_row: number of known rows.
        known: other pixels that are known and stay.
        temperature: logits are divided by it.
    """
    num, colours, height, width = values.shape
    console = Console(stderr=True)
    rows = track(
        range(height),
        description=f"drawing {num} images, row by row",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    stays = torch.zeros(height, width, dtype=torch.bool) if known is None else known.cpu().clone()
    stays[:first_row] = True
    for row in rows:
        for column in range(width):
            outputs = predictor.pixel(values, row, column)
            if stays[row, column]:
                continue
            for colour in range(colours):
                if colour and distribution.asks_for_each_colour:
                    outputs = predictor.pixel(values, row, column)
                pixel = values[:, :, row, column]
                values[:, colour, row, column] = distribution.draw(outputs, pixel, colour, temperature).to(values.dtype)
