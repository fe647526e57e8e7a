"""A flow in scales: after each but the last, half of the channels leave as latents (arXiv:1605.08803, Eq. 13-16)."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn


@final
class Scales(nn.ModuleList):
    """Scales of invertible layers, each of which maps to (output, log-determinant per image) and has an `inverse`.

        x -> scale 0 -> [ leaves: latents 0 | stays ] -> scale 1 -> [ latents 1 | stays ] -> ... -> last latents

    Args:
        scales: the layers of each scale.
        latent_shapes: (channels, height, width) of the latents of each scale.
    """

    def __init__(self, scales: Sequence[Sequence[nn.Module]], latent_shapes: Sequence[tuple[int, int, int]]) -> None:
        super().__init__(nn.ModuleList(layers) for layers in scales)
        self.latent_shapes = tuple(latent_shapes)

    def forward(self, values: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, " b"]]:
        """Latents, finest scale first, and the log-determinant."""
        latents: list[Tensor] = []
        total = torch.zeros_like(values[:, 0, 0, 0])
        for index in range(len(self)):
            for layer in self._layers(index):
                values, log_determinant = layer(values)
                total = total + log_determinant
            if index < len(self) - 1:
                leaving, values = values.chunk(2, dim=1)
                latents.append(leaving.flatten(1))
        return torch.cat([*latents, values.flatten(1)], dim=1), total

    def inverse(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        """The values that `forward` maps to these latents."""
        parts = torch.split(latents, [math.prod(shape) for shape in self.latent_shapes], dim=1)
        values = parts[-1].reshape(-1, *self.latent_shapes[-1])
        for index in reversed(range(len(self))):
            if index < len(self) - 1:
                values = torch.cat([parts[index].reshape(-1, *self.latent_shapes[index]), values], dim=1)
            for layer in reversed(self._layers(index)):
                values = layer.inverse(values)
        return values

    def _layers(self, index: int) -> list[Any]:
        layers = self[index]
        assert isinstance(layers, nn.ModuleList)
        return list(layers)


@contextmanager
def fitting(module: nn.Module, *kinds: type[nn.Module]) -> Iterator[None]:
    """Inside, each layer of these kinds calls its own `fit` with its input just before it computes."""

    def fit(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        layer.fit(inputs[0])

    handles = [layer.register_forward_pre_hook(fit) for layer in module.modules() if isinstance(layer, kinds)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
