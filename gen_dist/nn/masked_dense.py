"""Dense layers whose outputs see only earlier values of an order (M. Germain et al. 2015, arXiv:1502.03509)."""

import itertools
from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn


def hidden_degrees(
    widths: Sequence[int], num_values: int, num_masks: int, generator: torch.Generator
) -> list[Int64[Tensor, "m k"]]:
    """How many values each hidden unit may see, drawn from what the layer before it can use (Sec. 3).

    Args:
        widths: units of each hidden layer.
        num_values: values of an image.
        num_masks: how many sets of degrees to draw.
        generator: of the draws, on the CPU.

    Returns:
        Degrees of each layer, from 1 to `num_values` - 1.
    """
    lowest = torch.ones(num_masks, 1, dtype=torch.int64, device="cpu")
    highest = max(1, num_values - 1)
    degrees = []
    for width in widths:
        uniform = torch.rand(num_masks, width, generator=generator, device="cpu")
        drawn = (lowest + (uniform * (highest - lowest + 1)).floor().long()).clamp(max=highest)
        degrees.append(drawn)
        lowest = drawn.min(1, keepdim=True).values
    return degrees


@final
class MaskedNetwork(nn.Module):
    """A dense network with `num_outputs` outputs for each value, each of which sees only earlier values.

    A unit of degree m sees units of degree m or less; an output of the value at place d sees units of degree less
    than d. With two masks, three values and four hidden units of degrees 1, 2, 1, 2, in raster order:

        hidden units           outputs
             x1 x2 x3               h1 h2 h3 h4
        h1    1  .  .          x1    .  .  .  .
        h2    1  1  .          x2    1  .  1  .
        h3    1  .  .          x3    1  1  1  1
        h4    1  1  .

    Args:
        places: the place of each value in each mask's order, from 1 on.
        widths: units of each hidden layer.
        num_outputs: for each value.
        direct: whether outputs also see the values themselves, without a layer between.
        generator: of the hidden units' degrees.
    """

    def __init__(
        self,
        places: Int64[Tensor, "m d"],
        widths: Sequence[int],
        num_outputs: int,
        *,
        direct: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.num_masks, self.num_values = places.shape
        self.num_outputs = num_outputs
        sizes = [self.num_values, *widths]
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sizes))
        self.leave = nn.Linear(sizes[-1], self.num_values * num_outputs)
        self.direct = nn.Linear(self.num_values, self.num_values * num_outputs, bias=False) if direct else None
        if self.direct is not None:
            nn.init.zeros_(self.direct.weight)
        degrees = [places, *hidden_degrees(widths, self.num_values, self.num_masks, generator)]
        for index, degree in enumerate(degrees):  # drawn, so they are saved: another torch may draw others
            self.register_buffer(f"degree_{index}", degree)

    @property
    def layers(self) -> list[nn.Linear]:
        """The hidden layers."""
        return [layer for layer in self.hidden if isinstance(layer, nn.Linear)]

    def degrees(self, mask: int) -> list[Int64[Tensor, " k"]]:
        """Degrees of the values and of each hidden layer's units under one mask."""
        return [self.get_buffer(f"degree_{index}")[mask] for index in range(len(self.hidden) + 1)]

    def masked_weights(
        self, mask: int
    ) -> tuple[list[Float[Tensor, "_ _"]], Float[Tensor, "do k"], Float[Tensor, "do d"] | None]:
        """Weights under one mask: of the hidden layers, of the outputs, and of the direct connections."""
        degrees = self.degrees(mask)
        weights = [
            layer.weight * _sees(after, before, strictly=False)
            for layer, before, after in zip(self.layers, degrees, degrees[1:], strict=False)
        ]
        outputs = degrees[0].repeat_interleave(self.num_outputs)
        leave = self.leave.weight * _sees(outputs, degrees[-1], strictly=True)
        if self.direct is None:
            return weights, leave, None
        return weights, leave, self.direct.weight * _sees(outputs, degrees[0], strictly=True)

    def forward(self, values: Float[Tensor, "b d"], mask: int) -> Float[Tensor, "b d o"]:
        """Outputs of every value under one mask."""
        weights, leave, direct = self.masked_weights(mask)
        hidden = values
        for layer, weight in zip(self.layers, weights, strict=True):
            hidden = F.relu(F.linear(hidden, weight, layer.bias))
        # A mean in bfloat16 is off by up to half a grey level, so all that is summed into outputs leaves autocast.
        with torch.autocast(values.device.type, enabled=False):
            outputs = F.linear(hidden.to(leave.dtype), leave, self.leave.bias)
            if direct is not None:
                outputs = outputs + F.linear(values, direct)
        return outputs.reshape(len(values), self.num_values, self.num_outputs)


@final
class IncrementalMaskedNetwork:
    """A `MaskedNetwork` whose values come one after the other: the first layer's sums are kept.

    Args:
        network: whose weights are read once.
        mask: which mask.
        num: images.
    """

    def __init__(self, network: MaskedNetwork, mask: int, num: int) -> None:
        self._network = network
        weights, leave, direct = network.masked_weights(mask)
        self._first, self._rest = weights[0].T.contiguous(), weights[1:]
        shape = (network.num_values, network.num_outputs, -1)
        self._leave = leave.reshape(shape)
        self._bias = network.leave.bias.reshape(shape[:2])
        self._direct = None if direct is None else direct.reshape(shape)
        self._sums = network.layers[0].bias.expand(num, -1)
        self._values = self._first.new_zeros(num, network.num_values)

    def write(self, start: int, values: Float[Tensor, "b p"]) -> None:
        """Say what the values from number `start` on are; what was said before is replaced."""
        stop = start + values.shape[1]
        self._sums = self._sums + (values - self._values[:, start:stop]) @ self._first[start:stop]
        self._values[:, start:stop] = values

    def outputs(self, start: int, num: int) -> Float[Tensor, "b p o"]:
        """Outputs at `num` values from number `start` on, given what was written."""
        hidden = F.relu(self._sums)
        for layer, weight in zip(self._network.layers[1:], self._rest, strict=True):
            hidden = F.relu(F.linear(hidden, weight, layer.bias))
        mine = slice(start, start + num)
        outputs: Tensor = torch.einsum("bk,pok->bpo", hidden, self._leave[mine]) + self._bias[mine]
        if self._direct is not None:
            outputs = outputs + torch.einsum("bd,pod->bpo", self._values, self._direct[mine])
        return outputs


def _sees(after: Int64[Tensor, " o"], before: Int64[Tensor, " i"], *, strictly: bool) -> Bool[Tensor, "o i"]:
    """Which units of a layer may see which of the layer before (Eq. 12 to 13)."""
    return after[:, None] > before if strictly else after[:, None] >= before
