"""Averages of metrics that stay on the device until somebody asks."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor


@final
class Meters:
    """Collects scalars by "<phase>/<name>" and averages each over the steps since the last reading."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, phase: str, metrics: Mapping[str, Tensor]) -> None:
        """Take in one step's metrics without waiting for the device."""
        for name, value in metrics.items():
            key = f"{phase}/{name}"
            value = value.detach().to(torch.float64)
            self._sums[key] = self._sums[key] + value if key in self._sums else value
            self._counts[key] = self._counts.get(key, 0) + 1

    def read(self) -> dict[str, float]:
        """The averages, by name, and start afresh. The one place where the host waits for the device."""
        if not self._sums:
            return {}
        totals = torch.stack(list(self._sums.values())).tolist()
        averages = {key: total / self._counts[key] for key, total in zip(self._sums, totals, strict=True)}
        self._sums.clear()
        self._counts.clear()
        return averages
